/* The daemon's protocol (docs/protocol.md) over a WebSocket, with one stream. Samples and codes are
 * little-endian, as all browsers' typed arrays are. */

const HELLO = 1, READY = 2, OPEN = 3, OPENED = 4, PCM = 5, CODES = 6, FLUSH = 8, FLUSHED = 9, END = 10,
    STATS = 11, CREDIT = 12, PING = 13, PONG = 14, ERROR = 15;
const HEADER = 8, STREAM = 1;
const text = new TextEncoder(), untext = new TextDecoder();

/* What the daemon, or the way to it, says no with: a code as HTTP's, 0 where nobody answers. */
export class Refusal extends Error {
    constructor(code, message) {
        super(message);
        this.code = code;
    }
}

export class Session {
    #socket;
    #queue = []; /* messages that wait for credit, in order */
    #credit = 0;
    #pending = null; /* {kind, resolve, reject}: the one answer that is waited for */
    #over = false;

    ready = null; /* what READY said */
    onCodes = () => {};
    onPcm = () => {};
    onBroken = () => {}; /* where no answer was waited for */

    static async connect(key) {
        const session = new Session();
        const url = new URL("/v1/stream", location);
        url.protocol = url.protocol.replace("http", "ws");
        session.#socket = new WebSocket(url, "tessera");
        session.#socket.binaryType = "arraybuffer";
        session.#socket.onmessage = ({ data }) => session.#receive(data);
        session.#socket.onclose = () => session.#fail(new Refusal(0, ""));
        session.#socket.onopen = () =>
            session.#json(HELLO, 0, { protocol: 1, client: "page", ...(key && { key }) });
        session.ready = await session.#answer(READY);
        return session;
    }

    async open(words) {
        this.#json(OPEN, STREAM, words);
        this.#credit = (await this.#answer(OPENED)).credit;
    }

    sendPcm(samples /* Int16Array */) {
        this.#put(PCM, new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
    }

    sendCodes(bytes) {
        this.#put(CODES, bytes);
    }

    /* All that whole hops of the samples give has come. */
    flush() {
        this.#put(FLUSH, new Uint8Array(4));
        return this.#answer(FLUSHED);
    }

    /* All has come. */
    async end() {
        this.#put(END, new Uint8Array());
        await this.#answer(STATS);
        this.close();
    }

    close() {
        this.#over = true;
        this.#socket.close();
    }

    /* Bytes that the daemon has no room for yet. */
    get waiting() {
        return this.#queue.reduce((n, [, payload]) => n + payload.length, 0);
    }

    /* ---- out ---- */

    #send(kind, stream, payload) {
        const bytes = new Uint8Array(HEADER + payload.length);
        const view = new DataView(bytes.buffer);
        view.setUint8(0, kind);
        view.setUint16(2, stream, true);
        view.setUint32(4, payload.length, true);
        bytes.set(payload, HEADER);
        this.#socket.send(bytes);
    }

    #json(kind, stream, words) {
        this.#send(kind, stream, text.encode(JSON.stringify(words)));
    }

    #put(kind, payload) {
        if (this.#over) return;
        this.#queue.push([kind, payload]);
        this.#drain();
    }

    #drain() {
        while (this.#queue.length > 0) {
            const [kind, payload] = this.#queue[0];
            const cost = kind === PCM || kind === CODES ? payload.length : 0;
            if (cost > this.#credit) return;
            this.#credit -= cost;
            this.#queue.shift();
            this.#send(kind, STREAM, payload);
        }
    }

    /* ---- in ---- */

    #answer(kind) {
        return new Promise((resolve, reject) => {
            if (this.#over) reject(new Refusal(0, ""));
            else this.#pending = { kind, resolve, reject };
        });
    }

    #settle(kind, value) {
        if (this.#pending?.kind !== kind) return;
        this.#pending.resolve(value);
        this.#pending = null;
    }

    #fail(refusal) {
        if (this.#over) return;
        this.close();
        if (this.#pending) this.#pending.reject(refusal);
        else this.onBroken(refusal);
    }

    #receive(data) {
        const view = new DataView(data), kind = view.getUint8(0);
        const payload = new Uint8Array(data, HEADER);
        switch (kind) {
        case READY: /* comes again when the daemon begins to drain: a stream goes on */
        case OPENED:
        case STATS:
            this.#settle(kind, JSON.parse(untext.decode(payload)));
            break;
        case FLUSHED: this.#settle(kind); break;
        case PCM: this.onPcm(new Int16Array(data, HEADER)); break;
        case CODES: this.onCodes(payload); break;
        case CREDIT:
            this.#credit += view.getUint32(HEADER, true);
            this.#drain();
            break;
        case PING: this.#send(PONG, view.getUint16(2, true), payload); break;
        case ERROR:
            this.#fail(new Refusal(view.getUint16(HEADER, true), untext.decode(payload.subarray(2))));
            break;
        }
    }
}
