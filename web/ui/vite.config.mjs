import { defineConfig } from 'vite';
import { notices } from './notices.mjs';

// The server that `npm run dev` forwards /socket.io to.
const target = process.env.ROOMCAST_URL ?? 'http://127.0.0.1:3000';

export default defineConfig({
  plugins: [notices()],
  build: {
    target: 'es2022',
    // The page runs under `default-src 'self'`: nothing may become a data: URI or an inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/socket.io': { target, ws: true, changeOrigin: true } },
  },
});
