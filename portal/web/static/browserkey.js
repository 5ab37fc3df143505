// A key that this browser keeps for itself: Ed25519, made so that no script can read it out.
import { base64, sha256 } from "./bytes.js";

const SIGN = "Ed25519";

/** Makes a key and keeps it. Its id is the SHA-256 of its public half, as in the ledger. */
export async function make() {
  const pair = await crypto.subtle.generateKey(SIGN, false, ["sign", "verify"]);
  const spki = await crypto.subtle.exportKey("spki", pair.publicKey);
  const id = base64(await sha256(spki));
  await inStore("readwrite", (store) => store.put(pair.privateKey, id));
  return { id, public: base64(spki), sign: signer(pair.privateKey) };
}

/** What signs with the key of that id; undefined if this browser does not have it. */
export async function find(id) {
  const key = await inStore("readonly", (store) => store.get(id));
  return key && signer(key);
}

const signer = (key) => async (data) => base64(await crypto.subtle.sign(SIGN, key, data));

function inStore(mode, action) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("sovereign", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const asked = action(opening.result.transaction("keys", mode).objectStore("keys"));
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    };
  });
}
