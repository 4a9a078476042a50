/** Tells who comes and who leaves: each of a few, and of many at once how many they are. */

/** How many are told of in a second, each by name. */
const FEW = 5;
const SECOND = 1000;

export class Door {
  #came;
  #left;

  /** @param {(text: string) => void} tell */
  constructor(tell) {
    this.#came = summedUp(tell, "joined the orchestra");
    this.#left = summedUp(tell, "left");
  }

  /**
   * Somebody has come.
   *
   * @param {string} text - that says so
   */
  come(text) {
    this.#came(text);
  }

  /**
   * Somebody has left.
   *
   * @param {string} text - that says so
   */
  leave(text) {
    this.#left(text);
  }
}

/**
 * @param {(text: string) => void} tell
 * @param {string} deed - what they have done
 * @returns {(text: string) => void} tells of one
 */
function summedUp(tell, deed) {
  let told = 0;
  let more = 0;
  const sum = () => {
    told = 0;
    if (!more) return;
    tell(more === 1 ? `One more musician has ${deed}.` : `${more} more musicians have ${deed}.`);
    more = 0;
    // As long as there are that many, there is one line for all in a second.
    told = FEW;
    setTimeout(sum, SECOND);
  };
  return (text) => {
    if (!told) setTimeout(sum, SECOND);
    if (told >= FEW) {
      more += 1;
      return;
    }
    told += 1;
    tell(text);
  };
}
