/* Samples: 16 bits each in memory, as they are sent; floats at the browser's borders. The worklet,
 * which has no page, uses the first half too. */

export function quantize(x) {
    return Math.max(-32768, Math.min(32767, Math.round(x * 32768)));
}

/* An array of numbers that grows at its end. */
export class Growing {
    #items;
    length = 0;

    constructor(type) {
        this.#items = new type(4096);
    }

    push(items) {
        const need = this.length + items.length;
        if (need > this.#items.length) {
            const more = new this.#items.constructor(Math.max(need, 2 * this.#items.length));
            more.set(this.#items);
            this.#items = more;
        }
        this.#items.set(items, this.length);
        this.length = need;
    }

    /* A view, good until the next push. */
    all() {
        return this.#items.subarray(0, this.length);
    }
}

function toSamples(sound /* AudioBuffer */) {
    const channels = Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c));
    return Int16Array.from({ length: sound.length }, (_, i) =>
        quantize(channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length));
}

/* The samples of a sound file as the browser reads it: their mean over the channels. */
export async function decodeFile(bytes, rate) {
    return toSamples(await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes));
}

function toBuffer(context, samples, rate) {
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(Float32Array.from(samples, (s) => s / 32768), 0);
    return buffer;
}

function start(context, buffer, destination, when, offset) {
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(destination);
    source.start(when, offset);
    return source;
}

export async function resample(samples, from, to) {
    if (from === to || samples.length === 0) return samples;
    const context = new OfflineAudioContext(1, Math.ceil(samples.length * to / from), to);
    start(context, toBuffer(context, samples, from), context.destination, 0, 0);
    return toSamples(await context.startRendering());
}

const LEAD = 0.06; /* seconds between what comes and what sounds: the network's and the loop's jitter */

/* Sound that comes in pieces, each played right after the one before. */
export class LiveVoice {
    #context;
    #rate;
    #gain;
    #end = 0;

    constructor(context, rate, muted) {
        this.#context = context;
        this.#rate = rate;
        this.#gain = new GainNode(context);
        this.#gain.connect(context.destination);
        this.mute(muted);
    }

    mute(muted) {
        this.#gain.gain.value = muted ? 0 : 1;
    }

    /* Returns in how many seconds the last of these samples is heard. */
    play(samples) {
        const context = this.#context, now = context.currentTime;
        if (this.#end < now) this.#end = now + LEAD;
        start(context, toBuffer(context, samples, this.#rate), this.#gain, this.#end, 0);
        this.#end += samples.length / this.#rate;
        return this.#end - now + (context.outputLatency || 0);
    }
}

/* One recording played from any place; `ended` is called when it comes to its end by itself. */
export class Player {
    #context;
    #source = null;
    #started = 0;

    constructor(context, ended) {
        this.#context = context;
        this.ended = ended;
    }

    play(samples, rate, from) {
        this.stop();
        const context = this.#context;
        this.#source = start(context, toBuffer(context, samples, rate), context.destination, 0, from);
        this.#source.onended = () => {
            this.#source = null;
            this.ended();
        };
        this.#started = context.currentTime - from;
    }

    stop() {
        if (!this.#source) return;
        this.#source.onended = null;
        this.#source.stop();
        this.#source = null;
    }

    get playing() {
        return this.#source !== null;
    }

    /* Seconds from the recording's start. */
    get position() {
        return this.#context.currentTime - this.#started;
    }
}
