/** What lets one in: an API key or a token, kept for as long as the tab is open. */

const PLACE = "orchestra";

/**
 * @typedef {object} Credential
 * @property {"key" | "token"} kind
 * @property {string} secret
 */

/**
 * The one that is kept. A token that came in the page's URL is taken out of it, and kept.
 *
 * @returns {Credential | null}
 */
export function known() {
  const url = new URL(location.href);
  const token = url.searchParams.get("token");
  if (token) {
    url.searchParams.delete("token");
    history.replaceState(null, "", url);
    keep({ kind: "token", secret: token });
    return { kind: "token", secret: token };
  }
  try {
    const { kind, secret } = JSON.parse(sessionStorage.getItem(PLACE) ?? "null") ?? {};
    const isOne = (kind === "key" || kind === "token") && typeof secret === "string";
    return isOne ? { kind, secret } : null;
  } catch {
    return null; // the browser keeps nothing for pages
  }
}

/** @param {Credential} credential */
export function keep(credential) {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify(credential));
  } catch {
    // Then it is asked for again.
  }
}

/**
 * What WebSockets of a browser can have.
 *
 * @param {Credential | null} credential
 * @returns {string | undefined}
 */
export function tokenOf(credential) {
  return credential?.kind === "token" ? credential.secret : undefined;
}

/** @param {Credential | null} credential @returns {Record<string, string>} what is sent with it */
export function headersOf(credential) {
  if (!credential) return {};
  const { kind, secret } = credential;
  return kind === "key" ? { "X-API-Key": secret } : { Authorization: `Bearer ${secret}` };
}
