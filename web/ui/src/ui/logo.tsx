/** A room with an open corner, and a voice that leaves through it. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <rect width="32" height="32" rx="8" class="logo-ground" />
      <path class="logo-room" d="M17.5 7H10a3 3 0 0 0-3 3v12a3 3 0 0 0 3 3h12a3 3 0 0 0 3-3v-7.5" />
      <circle class="logo-voice" cx="14" cy="18" r="2.9" />
      <path class="logo-cast" d="M17 11.6a7 7 0 0 1 3.6 3.6M21.8 7.2a12 12 0 0 1 3.2 3" />
    </svg>
  );
}
