// The parts of the vendored library that this page uses, and a component that is drawn anew only when it must be.

import { Component, h, html, render, useEffect, useLayoutEffect, useRef, useState } from './vendor/htm-preact.js';

export { html, render, useEffect, useLayoutEffect, useRef, useState };

// Drawn again only when one of its properties is another value.
export function kept(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = this.props;
      for (const key in next) if (key !== 'children' && next[key] !== now[key]) return true;
      for (const key in now) if (!(key in next)) return true;
      return false;
    }
    render(properties) {
      return h(draw, properties);
    }
  };
}
