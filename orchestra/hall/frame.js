/** What is shown changes once a frame, however often there is a reason. */

/**
 * Do something before the next frame, once, however often it is asked for until then; where the
 * page is hidden, that is when it is seen again.
 *
 * @param {() => void} work
 * @returns {() => void} asks for it
 */
export function oncePerFrame(work) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      work();
    });
  };
}
