// What a tab does by itself. It remembers the question it asked last, so that a reload finds the answer: a tab, not the
// phone, so that the next person who opens the page on a shared phone finds nothing.
() => {
  const field = () => document.querySelector('#question textarea');
  const put = (text) => {
    const into = field();
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(into, text);
    into.dispatchEvent(new Event('input', {bubbles: true}));
  };

  // Gradio names a language of its own in <html> where it does not know the visitor's.
  const page = document.documentElement;
  const speak = () => { if (page.lang !== navigator.language) page.lang = navigator.language; };
  new MutationObserver(speak).observe(page, {attributeFilter: ['lang']});
  speak();

  // The stream that Gradio reads breaks with the Wi-Fi and is not taken up again; the answer is made all the same.
  window.addEventListener('online', () => {
    const state = document.querySelector('.fp-status[data-state]');
    if (sessionStorage.getItem('fieldpost-job') && (!state || state.dataset.state !== 'done')) location.reload();
  });

  // Reading aloud is offered in the languages that this phone has a voice for, and in no other.
  const speech = window.speechSynthesis;
  const voices = (lang) => speech.getVoices().filter((voice) => voice.lang.split(/[-_]/)[0] === lang);
  const offer = () => {
    const langs = new Set(speech.getVoices().map((voice) => voice.lang.split(/[-_]/)[0]).filter((l) => /^[a-z]+$/.test(l)));
    offered.textContent = [...langs].map((l) => `.fp-read[data-voice=${l}]{display:inline-block}`).join('');
  };
  const offered = document.head.appendChild(document.createElement('style'));
  if (speech) {
    offer();
    speech.addEventListener?.('voiceschanged', offer);
  }

  const whole = () => document.querySelector('.fp-answer').innerText;
  const acts = {
    preset: (button) => {
      put(button.textContent);
      field().focus();
      field().scrollIntoView({block: 'center'});
    },
    read: (button) => {
      const label = button.dataset.label ||= button.textContent;
      const done = () => { button.textContent = label; };
      if (speech.speaking) {
        speech.cancel();
        return done();
      }
      const said = new SpeechSynthesisUtterance(whole().replace(/\[\d+\]/g, ''));
      said.lang = button.dataset.voice;
      said.voice = voices(said.lang)[0];
      said.onend = said.onerror = done;
      button.textContent = button.dataset.stop;
      speech.speak(said);
    },
    copy: (button) => {
      // The clipboard's own interface is closed to a page without HTTPS.
      const label = button.dataset.label ||= button.textContent;
      const from = document.createElement('textarea');
      from.value = whole();
      document.body.append(from);
      from.select();
      document.execCommand('copy');
      from.remove();
      button.focus();
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = label; }, 3000);
    },
    print: () => window.print(),
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-act]');
    if (button) acts[button.dataset.act](button);
    // A language is another page: what was typed goes along.
    if (event.target.closest('.fp-languages a')) sessionStorage.setItem('fieldpost-question', field().value);
  });
  window.addEventListener('beforeprint', () => {
    document.querySelectorAll('.fp-source').forEach((source) => { source.open = true; });
  });
  document.addEventListener('submit', (event) => {
    const section = event.target.closest('.fp-feedback');
    if (!section) return;
    event.preventDefault();
    const form = event.target;
    fetch(form.action, {method: 'POST', body: new URLSearchParams(new FormData(form)), redirect: 'manual'}).then((got) => {
      if (got.ok || got.type === 'opaqueredirect') {
        const thanks = document.createElement('p');
        thanks.className = 'fp-status';
        thanks.setAttribute('role', 'status');
        thanks.textContent = section.dataset.thanks;
        section.replaceChildren(thanks);
      }
    }, () => {});  // the Wi-Fi is gone: the form stays as it was
  });
}
