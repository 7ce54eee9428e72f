/* The microphone through the daemon and back to the ear:
 *
 *     microphone.js -> take.pcm -> session -> take.codes -> session -> take.decoded -> voice
 *
 * What is sent is whole hops, so that the end needs no padding: FLUSH brings the last codes, END the
 * last sound. */
import { Session } from "./session.js";
import { LiveVoice } from "./sound.js";

const GATHERED = 0.02; /* seconds of sound a message, at least */
const RECENT = 75;     /* latencies that count */

/* A codec's test is the sound as it is, and headphones are the cure for echoes. */
const PLAIN_SOUND = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

class Latencies {
    #ms = [];

    add(ms) {
        this.#ms.push(ms);
        if (this.#ms.length > RECENT) this.#ms.shift();
    }

    get median() {
        return this.#ms.toSorted((a, b) => a - b)[this.#ms.length >> 1];
    }
}

export class Live {
    #stream;
    #session;
    #node;
    #source;
    #voice;
    #sent = []; /* when each frame's last sample went, ms */

    take;
    codesAfter = new Latencies();
    soundAfter = new Latencies();

    /* Asks for the microphone, then the daemon; `changed` is called when something came, `broken` with
     * what ended it. */
    static async start(take, { context, key, muted, changed, broken }) {
        const live = new Live();
        live.take = take;
        live.#stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN_SOUND });
        try {
            await live.#connect(key);
            await context.audioWorklet.addModule("/microphone.js");
        } catch (error) {
            live.#release();
            throw error;
        }
        live.#voice = new LiveVoice(context, take.model.sample_rate, muted);
        live.#session.onBroken = (error) => {
            live.#release();
            broken(error);
        };
        live.#listen(context, changed);
        return live;
    }

    mute(muted) {
        this.#voice.mute(muted);
    }

    async stop() {
        this.#release();
        await this.#session.flush();
        await this.#session.end();
    }

    /* Seconds of sound that the daemon has no room for yet. */
    get behind() {
        return this.#session.waiting / 2 / this.take.model.sample_rate;
    }

    async #connect(key) {
        const { model, codebooks } = this.take;
        this.#session = await Session.connect(key);
        await this.#session.open({ direction: "both", model: model.name, codebooks, format: "s16le", channels: 1 });
    }

    #release() {
        for (const track of this.#stream.getTracks()) track.stop();
        this.#source?.disconnect();
        if (this.#node) this.#node.port.onmessage = null;
    }

    #listen(context, changed) {
        const { hop, sample_rate: rate } = this.take.model;
        const block = hop * Math.ceil(GATHERED * rate / hop);
        this.#session.onCodes = (bytes) => this.#takeCodes(bytes, changed);
        this.#session.onPcm = (samples) => this.#takeSound(samples);
        this.#source = context.createMediaStreamSource(this.#stream);
        this.#node = new AudioWorkletNode(context, "microphone", {
            numberOfOutputs: 0,
            channelCount: 1,
            channelCountMode: "explicit",
            processorOptions: { block },
        });
        this.#node.port.onmessage = ({ data }) => {
            this.take.pcm.push(data);
            this.#session.sendPcm(data);
            for (let n = block / hop; n > 0; n--) this.#sent.push(performance.now());
            changed();
        };
        this.#source.connect(this.#node);
    }

    #takeCodes(bytes, changed) {
        const { codes, codebooks } = this.take;
        this.#session.sendCodes(bytes);
        codes.push(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2));
        this.codesAfter.add(performance.now() - this.#sent[codes.length / codebooks - 1]);
        changed();
    }

    #takeSound(samples) {
        const { decoded, model } = this.take;
        decoded.push(samples);
        const wait = 1000 * this.#voice.play(samples);
        this.soundAfter.add(performance.now() + wait - this.#sent[Math.floor(decoded.length / model.hop) - 1]);
    }
}
