/* The microphone's sound in, blocks of samples out, each some whole hops long. Runs where the browser
 * makes its sound; 128 samples come at a time, far too few for a message each. */
import { quantize } from "./sound.js";

class Microphone extends AudioWorkletProcessor {
    #block;
    #n = 0;

    constructor({ processorOptions }) {
        super();
        this.#block = new Int16Array(processorOptions.block);
    }

    process([[samples = []]]) {
        for (const x of samples) {
            this.#block[this.#n++] = quantize(x);
            if (this.#n < this.#block.length) continue;
            this.port.postMessage(this.#block); /* a copy goes */
            this.#n = 0;
        }
        return true;
    }
}

registerProcessor("microphone", Microphone);
