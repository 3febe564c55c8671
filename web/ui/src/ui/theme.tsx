import { signal } from '@preact/signals';

const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

const current = document.documentElement.dataset.theme;
const theme = signal<Theme>(current === 'light' || current === 'dark' ? current : 'auto');

/** Counts changes of what the theme looks like, for what is drawn rather than styled. */
export const themeVersion = signal(0);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => themeVersion.value++);

function choose(next: Theme): void {
  theme.value = next;
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === 'auto') localStorage.removeItem('roomcast.theme');
    else localStorage.setItem('roomcast.theme', next);
  } catch {
    // Storage is blocked: the choice lasts as long as the page.
  }
  themeVersion.value++;
}

export function ThemeSwitch() {
  const next = themes[(themes.indexOf(theme.value) + 1) % themes.length]!;
  return (
    <button type="button" class="quiet" data-testid="theme-toggle" aria-label={`Theme: ${theme.value}. Switch to ${next}`} onClick={() => choose(next)}>
      <span class="theme-mark" aria-hidden="true" /> {theme.value}
    </button>
  );
}
