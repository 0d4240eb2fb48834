"""The two files a person meets on a stick: START-HERE.txt and install.sh. Both are signed like everything else.

The fingerprint is deliberately in neither: it must come by another way than the stick, on paper or by telephone.
"""

from collections.abc import Sequence

_ENGLISH = """\
{title} ({name} {version})

This stick brings an assistant that works without internet. To put it on a box with Linux and Python 3.11 or newer:

The first time

1. Open a terminal in this folder and type:
       sha256sum installer.pyz
   Compare what it shows with the paper from your headquarters. Not the same? Stop, and tell headquarters.

2. Type:
       python3 installer.pyz install --from . --home ~/fieldpost
   The word at the end is the folder; choose another if you like.

3. The installer shows a fingerprint that begins with SHA256:
   Compare it, too, with the one your headquarters gave you on paper or by telephone.
   Are they the same? Then type the last characters, as it asks. If not, stop, and tell headquarters.

4. The installer says how to start the box.

Every other time, to update

   Use the installer that is on the box already, because you trust it, and not the one on this stick:
       python3 ~/fieldpost/installer.pyz install --from . --home ~/fieldpost
   If you chose another folder, put it in the place of ~/fieldpost, both times.

Does this stick come straight from your headquarters? Then one line does all of this:
       sh install.sh

Something is reported as damaged? Copy the stick again, or ask headquarters for a new one.
Nothing is changed on the box until everything has been checked.
"""

_SWAHILI = """\
{title} ({name} {version})

Kifaa hiki kinaleta msaidizi anayefanya kazi bila intaneti. Kukiweka kwenye kompyuta yenye Linux na Python 3.11 au
mpya zaidi:

Mara ya kwanza

1. Fungua terminali katika folda hii na uandike:
       sha256sum installer.pyz
   Linganisha kinachoonyeshwa na karatasi kutoka makao makuu. Hazifanani? Acha, na uwaambie makao makuu.

2. Andika:
       python3 installer.pyz install --from . --home ~/fieldpost
   Neno la mwisho ni folda; chagua nyingine ukipenda.

3. Programu inaonyesha alama ya utambulisho inayoanza na SHA256:
   Ilinganishe pia na ile uliyopewa na makao makuu kwa karatasi au kwa simu.
   Je, zinafanana? Basi andika herufi za mwisho, kama inavyoomba. Kama hazifanani, acha, na uwaambie makao makuu.

4. Programu inaeleza jinsi ya kuwasha msaidizi.

Mara nyingine zote, kusasisha

   Tumia programu iliyo tayari kwenye kompyuta, kwa sababu unaiamini, si ile iliyo kwenye kifaa hiki:
       python3 ~/fieldpost/installer.pyz install --from . --home ~/fieldpost
   Kama ulichagua folda nyingine, iandike mahali pa ~/fieldpost, mara zote mbili.

Je, kifaa hiki kimetoka moja kwa moja makao makuu? Basi mstari mmoja unatosha:
       sh install.sh

Kuna kitu kimeripotiwa kuwa kimeharibika? Nakili kifaa tena, au uombe kipya kutoka makao makuu.
Hakuna kinachobadilishwa kwenye kompyuta mpaka kila kitu kimekaguliwa.
"""

_TEXTS = {"en": _ENGLISH, "sw": _SWAHILI}

INSTALL_SH = b"""\
#!/bin/sh
# Puts this stick's bundle on this machine.
#
#   sh install.sh                    into ~/fieldpost
#   sh install.sh /srv/fieldpost     into another folder
#   sh install.sh /srv/fieldpost --fingerprint SHA256:...     without a question
#
# A box that has an installer already runs its own, which is trusted, and not this stick's.
set -eu
stick=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "No Python 3.11 or newer was found on this machine." >&2
  echo "Fieldpost needs it. Debian 12, Ubuntu 24.04 and Raspberry Pi OS 12 bring it." >&2
  echo "Install the package python3, then run this again: sh install.sh" >&2
  exit 1
fi

case ${1:-} in
  '' | -*) home=${HOME:-/root}/fieldpost ;;
  *) home=$1; shift ;;
esac
installer=$stick/installer.pyz
if [ -f "$home/installer.pyz" ]; then
  installer=$home/installer.pyz
fi
exec "$python" -I "$installer" install --from "$stick" --home "$home" "$@"
"""


def start_here(*, title: str, name: str, version: str, languages: Sequence[str]) -> bytes:
    """The text of START-HERE.txt in each of the bundle's languages that we have, else in English."""
    texts = dict.fromkeys(_TEXTS.get(language, _ENGLISH) for language in languages)
    rule = "\n" + "-" * 72 + "\n\n"
    return rule.join(text.format(title=title, name=name, version=version) for text in texts).encode()
