/* A .tess file in, its codes out (docs/format.md). The daemon has just written it: what its checksums
 * guard against is not looked for. */
import { Growing } from "./sound.js";

const CHUNK = 0x4b4e4843; /* "CHNK" */

/* The least significant bits first. */
function unpack(bytes, n, width) {
    let bits = 0, held = 0, at = 0;
    return Uint16Array.from({ length: n }, () => {
        for (; held < width; held += 8) bits |= bytes[at++] << held;
        const code = bits & ((1 << width) - 1);
        bits >>>= width;
        held -= width;
        return code;
    });
}

/* The codes [T][K], counted from zero. */
export function readTess(file /* ArrayBuffer */) {
    const view = new DataView(file), u32 = (at) => view.getUint32(at, true);
    const codebooks = u32(28), width = Math.max(1, Math.ceil(Math.log2(u32(32))));
    const codes = new Growing(Uint16Array);
    for (let at = u32(8); u32(at) === CHUNK;) {
        const sides = 4 * view.getUint16(at + 10, true);
        const payload = new Uint8Array(file, at + 16 + sides, u32(at + 12));
        codes.push(unpack(payload, u32(at + 4) * codebooks, width));
        at += 20 + sides + payload.length;
    }
    return codes;
}
