// Loaded before the page is drawn, so that it never flashes in the wrong colours.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let chosen = null;
  try { chosen = localStorage.getItem('weir-theme'); } catch { /* storage is off: follow the system */ }
  const show = () => {
    root.dataset.theme = chosen ?? (dark.matches ? 'dark' : 'light');
    dispatchEvent(new Event('weir-theme'));
  };
  show();
  dark.addEventListener('change', show);
  addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme').addEventListener('click', () => {
      chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
      try { localStorage.setItem('weir-theme', chosen); } catch { /* until the page is closed, then */ }
      show();
    });
  });
})();
