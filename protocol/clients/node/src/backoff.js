// How long to wait before the next attempt to connect.

const FIRST_MS = 50;
const MAX_MS = 5_000;

// Doubles from 50 ms to 5 s. Half of each delay is random, so that apps do not all come back in the same instant.
export class Backoff {
  #random;
  #failures = 0;

  constructor(random = Math.random) {
    this.#random = random;
  }

  succeeded() {
    this.#failures = 0;
  }

  nextDelay() {
    const ceiling = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    return ceiling * (0.5 + 0.5 * this.#random());
  }
}
