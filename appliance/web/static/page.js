// What a tab remembers: the question it asked last, so that a reload finds the answer. A tab, not the phone: the next
// person who opens the page on a shared phone finds nothing.
() => {
  // The stream that Gradio reads breaks with the Wi-Fi and is not taken up again; the answer is made all the same.
  window.addEventListener('online', () => {
    const state = document.querySelector('.fp-status[data-state]');
    if (sessionStorage.getItem('fieldpost-job') && (!state || state.dataset.state !== 'done')) location.reload();
  });
}
