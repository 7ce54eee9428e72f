/* One recording and what becomes of it: samples -> codes -> samples. A file's or a recording's final
 * codes are those of the .tess that the daemon writes, so what is shown is what is saved. */
import { Refusal } from "./session.js";
import { Growing, decodeFile, resample } from "./sound.js";
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

/* The daemon's WAV is read here: a browser would scale its samples to its own taste. */
const WAV_HEAD = 44; /* bytes */

function mean(samples /* [T][channels] */, channels) {
    if (channels === 1) return samples;
    return Int16Array.from({ length: samples.length / channels }, (_, t) =>
        samples.subarray(t * channels, (t + 1) * channels).reduce((sum, x) => sum + x, 0) / channels);
}

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

    /* The same sound for another model. */
    async by(model, codebooks) {
        const take = new Take(model, codebooks, this.name, this.file);
        if (this.file) await take.readFile();
        else take.pcm.push(await resample(this.pcm.all(), this.model.sample_rate, model.sample_rate));
        return take;
    }

    /* Fills codes, decoded and both files anew. */
    async code(codebooks, key) {
        this.tess = this.wav = null;
        const tess = await this.#encode(codebooks, key);
        const wav = await post("/v1/decode", tess, key);
        this.codebooks = codebooks;
        this.codes = readTess(tess);
        this.decoded = new Growing(Int16Array);
        this.decoded.push(mean(new Int16Array(wav, WAV_HEAD), this.model.channels));
        this.tess = new Blob([tess], { type: "application/x-tess" });
        this.wav = new Blob([wav], { type: "audio/wav" });
    }

    /* The file as it is gives what `tessera encode` gives; some only a browser can read. */
    async #encode(codebooks, key) {
        const path = `/v1/encode?model=${encodeURIComponent(this.model.name)}&codebooks=${codebooks}`;
        const tess = "application/x-tess";
        if (this.file) {
            try {
                return await post(path, this.file, key, tess);
            } catch (error) {
                if (error.code !== 400) throw error;
            }
        }
        return post(`${path}&raw=s16le&channels=1&rate=${this.model.sample_rate}`, this.pcm.all(), key, tess);
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
