/* One recording and what becomes of it: samples -> codes -> samples. A file's or a recording's final
 * codes are those of the .tess that the daemon writes, so what is shown is what is saved. */
import { Refusal } from "./session.js";
import { Growing, decodeFile } from "./sound.js";
import { readTess } from "./tess.js";

async function post(path, body, key, accept = "*/*") {
    try {
        const headers = { Accept: accept, ...(key && { Authorization: `Bearer ${key}` }) };
        const answer = await fetch(path, { method: "POST", body, headers });
        if (answer.ok) return await answer.arrayBuffer();
        throw new Refusal(answer.status, (await answer.json()).error.message);
    } catch (error) {
        throw error instanceof Refusal ? error : new Refusal(0, "");
    }
}

const WAV_HEAD = 44; /* bytes of the daemon's */

export class Take {
    pcm = new Growing(Int16Array);
    codes = new Growing(Uint16Array); /* [T][K] */
    decoded = new Growing(Int16Array);
    tess = null; /* the files, once there */
    wav = null;

    /* `file` is null where the microphone gives the samples. */
    constructor(model, codebooks, name, file = null) {
        this.model = model;
        this.codebooks = codebooks;
        this.name = name;
        this.file = file;
    }

    async readFile() {
        this.pcm.push(await decodeFile(await this.file.arrayBuffer(), this.model.sample_rate));
    }

    /* Fills codes, decoded and both files anew. */
    async code(codebooks, key) {
        this.tess = this.wav = null;
        const tess = await this.#encode(`/v1/encode?codebooks=${codebooks}`, key);
        const wav = await post("/v1/decode", tess, key);
        this.codebooks = codebooks;
        this.codes = readTess(tess);
        this.decoded = new Growing(Int16Array);
        this.decoded.push(new Int16Array(wav, WAV_HEAD)); /* a browser would scale them to its own taste */
        this.tess = new Blob([tess], { type: "application/x-tess" });
        this.wav = new Blob([wav], { type: "audio/wav" });
    }

    /* The file as it is gives what `tessera encode` gives; some only a browser can read. */
    async #encode(path, key) {
        const tess = "application/x-tess";
        if (this.file) {
            try {
                return await post(path, this.file, key, tess);
            } catch (error) {
                if (error.code !== 400) throw error;
            }
        }
        return post(`${path}&raw=s16le&rate=${this.model.sample_rate}`, this.pcm.all(), key, tess);
    }

    get seconds() {
        return this.pcm.length / this.model.sample_rate;
    }

    get frames() {
        return Math.ceil(this.pcm.length / this.model.hop);
    }

    /* Bits of the codes that came, a second of sound. */
    get bitsPerSecond() {
        return this.codes.length * Math.ceil(Math.log2(this.model.entries)) / this.seconds;
    }
}
