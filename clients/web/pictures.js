/* Samples and codes in, pictures out: a column a frame, so that sound, codes and decoded sound stand
 * over each other. The page's style says how large a column is shown. */

const POINTS = 512, BINS = POINTS / 2;
const FLOOR_DB = -95, RANGE_DB = 80; /* below full scale: what is not seen, and from there to the darkest */
const KEPT = 2048;                   /* columns that are not computed again */
const COLUMN = 4;                    /* width on the screen */

const hann = Float32Array.from({ length: POINTS }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / POINTS));
const cosines = Float32Array.from({ length: BINS }, (_, i) => Math.cos(2 * Math.PI * i / POINTS));
const sines = Float32Array.from({ length: BINS }, (_, i) => -Math.sin(2 * Math.PI * i / POINTS));
const reversed = Uint16Array.from({ length: POINTS }, (_, i) => {
    let r = 0;
    for (let bit = 1; bit < POINTS; bit *= 2) r = 2 * r + (i & bit ? 1 : 0);
    return r;
});

/* Radix 2, in place, from bit-reversed order. */
function fft(re, im) {
    for (let half = 1; half < POINTS; half *= 2) {
        for (let start = 0; start < POINTS; start += 2 * half) {
            for (let k = 0; k < half; k++) {
                const w = k * BINS / half, a = start + k, b = a + half;
                const x = re[b] * cosines[w] - im[b] * sines[w], y = re[b] * sines[w] + im[b] * cosines[w];
                re[b] = re[a] - x;
                im[b] = im[a] - y;
                re[a] += x;
                im[a] += y;
            }
        }
    }
}

const re = new Float32Array(POINTS), im = new Float32Array(POINTS);

/* The levels, 0 to 255, of the POINTS samples that end with `end`. */
function spectrum(samples, end, levels) {
    im.fill(0);
    for (let i = 0; i < POINTS; i++) re[reversed[i]] = hann[i] * (samples[end - POINTS + i] ?? 0);
    fft(re, im);
    for (let bin = 0; bin < BINS; bin++) {
        const power = (re[bin] ** 2 + im[bin] ** 2) / (32768 * POINTS / 4) ** 2;
        levels[bin] = 255 * Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-12) - FLOOR_DB) / RANGE_DB));
    }
}

/* How many frames a canvas has room for; its bitmap is made as wide. */
function fit(canvas, height) {
    const columns = Math.max(1, Math.floor(canvas.clientWidth / COLUMN));
    if (canvas.width !== columns || canvas.height !== height) Object.assign(canvas, { width: columns, height });
    return columns;
}

export class Spectrogram {
    #canvas;
    #columns = new Uint8Array(KEPT * BINS);
    #have = new Int32Array(KEPT).fill(-1); /* which frame is in each */

    constructor(canvas) {
        this.#canvas = canvas;
    }

    forget() {
        this.#have.fill(-1);
    }

    #column(samples, hop, frame) {
        const slot = frame % KEPT, levels = this.#columns.subarray(slot * BINS, (slot + 1) * BINS);
        if (this.#have[slot] !== frame) spectrum(samples, (frame + 1) * hop, levels);
        this.#have[slot] = frame;
        return levels;
    }

    /* Frames from `first` on, as far as there are samples. */
    draw(samples, hop, first) {
        const columns = fit(this.#canvas, BINS), context = this.#canvas.getContext("2d");
        const image = context.createImageData(columns, BINS);
        const [red, green, blue] = getComputedStyle(this.#canvas).color.match(/\d+/g);
        const n = Math.min(columns, Math.floor(samples.length / hop) - first);
        for (let x = 0; x < n; x++) {
            const levels = this.#column(samples, hop, first + x);
            for (let bin = 0; bin < BINS; bin++)
                image.data.set([red, green, blue, levels[bin]], 4 * ((BINS - 1 - bin) * columns + x));
        }
        context.putImageData(image, 0, 0);
    }
}

/* Equal codes have equal colours, from that of the sound in over pale to that of the sound out. */
const STOPS = [[11, 110, 96], [238, 232, 214], [186, 108, 34]];

function colour(code, entries) {
    const t = 2 * code / entries, i = t < 1 ? 0 : 1;
    return [...STOPS[i].map((from, c) => from + (t - i) * (STOPS[i + 1][c] - from)), 255];
}

export class CodePicture {
    #canvas;

    constructor(canvas) {
        this.#canvas = canvas;
    }

    get columns() {
        return fit(this.#canvas, this.#canvas.height);
    }

    draw(codes, codebooks, entries, first) {
        const columns = fit(this.#canvas, codebooks), context = this.#canvas.getContext("2d");
        const image = context.createImageData(columns, codebooks);
        const n = Math.min(columns, codes.length / codebooks - first);
        for (let x = 0; x < n; x++)
            for (let k = 0; k < codebooks; k++)
                image.data.set(colour(codes[(first + x) * codebooks + k], entries), 4 * (k * columns + x));
        context.putImageData(image, 0, 0);
    }
}
