// Runs before the first paint, so that a chosen theme does not flash.
// A file of its own because the page's Content-Security-Policy forbids inline scripts.
try {
  const theme = localStorage.getItem('roomcast.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: follow the system.
}
