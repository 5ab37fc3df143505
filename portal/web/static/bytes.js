// Bytes and their spellings, for the scripts that make and use keys.
const encoder = new TextEncoder();

export const text = (value) => encoder.encode(value);
export const base64 = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
export const unbase64 = (value) =>
  Uint8Array.from(atob(value.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));

export async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

export function join(...parts) {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}
