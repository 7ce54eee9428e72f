/* What the visitor does in, what is going on out: one take at a time, spoken (live.js) or a file
 * (take.js). The phases: "away" (no daemon), "idle", "live", "busy". */
import { Live } from "./live.js";
import { CodePicture, Spectrogram } from "./pictures.js";
import { Refusal, Session } from "./session.js";
import { Player } from "./sound.js";
import { Take } from "./take.js";

const at = (id) => document.getElementById(id);
const pictures = { in: new Spectrogram(at("in")), codes: new CodePicture(at("codes")), out: new Spectrogram(at("out")) };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export const state = {
    phase: "away",
    key: "",
    models: [],
    model: null, /* the chosen one of them */
    take: null,
    live: null,
    first: 0, /* the frame at the pictures' left */
    shown: "out", /* which of a take's two sounds plays */
};
let context = null, player = null;

/* ---- words ---- */

const HEADPHONES = "Listening. Headphones keep the decoded voice out of the microphone.";
const START = "Press Speak, or drop a sound file here.";

const reasons = {
    NotAllowedError: "The browser may not use the microphone. Allow it for this page, then press Speak again.",
    NotFoundError: "There is no microphone here.",
    NotReadableError: "The microphone is in use by another program.",
    NotSupportedError: "This browser cannot record at the model's rate.",
    EncodingError: "This browser cannot read that file as sound.",
};

const refusals = {
    0: "The daemon does not answer. Is tesserad running?",
    401: "This daemon needs a key.",
    429: "Too many connections from here. Close one and try again.",
    503: "The daemon is full or about to stop. Try again in a moment.",
};

function inWords(error) {
    if (!(error instanceof Refusal)) return reasons[error.name] ?? `That failed: ${error.message}`;
    return refusals[error.code] ?? `The daemon refused: ${error.message}`;
}

function say(words, bad = false) {
    at("status").classList.toggle("bad", bad);
    if (at("status").textContent !== words) at("status").textContent = words;
}

function bytes(n) {
    return n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}

/* ---- phases ---- */

function enter(phase) {
    const { take, model } = state, free = phase === "idle", away = phase === "away";
    state.phase = phase;
    const speaks = model?.encode !== "whole-clip" && model?.encode !== "segments";
    at("speak").disabled = away || !speaks;
    at("choose").disabled = away;
    at("models").disabled = at("rates").disabled = away || phase === "live";
    for (const id of ["speak", "choose"]) /* they keep the keyboard's focus */
        at(id).ariaDisabled = phase === "busy" || (id === "choose" && phase === "live");
    at("speak").textContent = phase === "live" ? "Stop" : "Speak";
    at("speak").classList.toggle("live", phase === "live");
    at("position").disabled = at("play-in").disabled = !free || !take?.pcm.length;
    at("play-out").disabled = !free || !take?.decoded.length;
    offer("save-tess", take?.tess, "tess", "Save codes");
    offer("save-wav", take?.wav, "wav", "Save decoded sound");
    refresh();
}

function offer(id, file, suffix, words) {
    const link = at(id);
    link.hidden = !file;
    if (link.href) URL.revokeObjectURL(link.href);
    link.removeAttribute("href");
    if (!file) return;
    link.href = URL.createObjectURL(file);
    link.download = `${state.take.name}.${suffix}`;
    link.textContent = `${words} (.${suffix}, ${bytes(file.size)})`;
}

/* A take as far as it came stays. */
function failed(error) {
    state.live = null;
    if (state.model) at("models").value = state.model.name;
    const needsKey = error.code === 401;
    say(error instanceof Refusal && error.code === 0 && state.take?.pcm.length && !state.take.tess
        ? `${refusals[0]} What came before that is kept.` : inWords(error), true);
    if (needsKey) {
        at("key-form").hidden = false;
        at("key").focus();
    }
    enter(state.model && !needsKey ? "idle" : "away");
}

function summary({ pcm, tess, seconds }) {
    const times = Math.round(2 * pcm.length / tess.size);
    return `${seconds.toFixed(1)} s of sound in ${bytes(tess.size)}: ${times} times less than its samples.`;
}

/* Once more where another rate or model was chosen meanwhile. */
async function code(take) {
    enter("busy");
    say("Coding.");
    do await take.code(chosenCodebooks(), state.key);
    while (take.codebooks !== chosenCodebooks());
    pictures.out.forget();
    say(summary(take));
    enter("idle");
    await turnTo(at("models").value);
}

function begin(take) {
    player?.stop();
    state.take = take;
    pictures.in.forget();
    pictures.out.forget();
    at("position").value = 0;
}

/* ---- the daemon ---- */

async function greet() {
    try {
        const session = await Session.connect(state.key);
        session.close();
        state.models = session.ready.models;
    } catch (error) {
        failed(error);
        if (error.code === 0) at("speak").disabled = false; /* which then tries again */
        return;
    }
    at("key-form").hidden = true;
    at("choice").hidden = state.models.length === 1;
    at("models").replaceChildren(...state.models.map(({ name }) => new Option(name)));
    say(START);
    enter("idle");
    await turnTo(at("models").value);
}

/* What was taken is coded by the other model too. */
async function turnTo(name) {
    const { take } = state;
    if (state.phase !== "idle" || state.model?.name === name) return;
    if (context) player.stop();
    state.model = state.models.find((model) => model.name === name);
    describe(state.model);
    if (context && context.sampleRate !== state.model.sample_rate) {
        context.close();
        context = player = null;
    }
    enter("idle");
    if (!take) return;
    enter("busy");
    begin(await take.by(state.model, chosenCodebooks()));
    await code(state.take);
}

function describe({ name, sha256, sample_rate, hop, entries, codebooks, codebooks_legal }) {
    const bits = Math.ceil(Math.log2(entries)), frameRate = sample_rate / hop;
    at("model").textContent = `${name}: ${sample_rate} Hz, ${frameRate} frames a second, ${entries} entries a codebook. ` +
        `SHA-256 ${sha256.slice(0, 16)}…`;
    const rates = codebooks_legal.map((k) => {
        const label = document.createElement("label"), input = document.createElement("input");
        Object.assign(input, { type: "radio", name: "codebooks", value: k, checked: k === codebooks });
        label.append(input, `${k * bits * frameRate / 1000} kb/s`);
        return label;
    });
    at("rates").replaceChildren(at("rates").querySelector("legend"), ...rates);
}

function chosenCodebooks() {
    return Number(document.querySelector("[name=codebooks]:checked").value);
}

/* ---- speaking ---- */

function openContext() {
    context ??= new AudioContext({ sampleRate: state.model.sample_rate, latencyHint: "interactive" });
    player ??= new Player(context, ended);
    return context.resume();
}

async function speak() {
    if (!navigator.mediaDevices) throw new Error("a page may use the microphone only on localhost or over https.");
    const take = new Take(state.model, chosenCodebooks(), "speech");
    say("Waiting for the microphone.");
    enter("busy");
    await openContext();
    state.live = await Live.start(take, {
        context,
        key: state.key,
        muted: at("mute").checked,
        changed: refresh,
        broken: failed,
    });
    begin(take);
    say(HEADPHONES);
    enter("live");
}

async function stop() {
    const live = state.live;
    enter("busy");
    await live.stop();
    state.live = null;
    await code(live.take);
}

/* ---- files ---- */

async function open(file) {
    const take = new Take(state.model, chosenCodebooks(), file.name.replace(/\.[^.]*$/, ""), file);
    say(`Reading ${file.name}.`);
    enter("busy");
    await take.readFile();
    begin(take);
    await code(take);
}

/* ---- listening ---- */

/* The other sound goes on where this one was: that is how two are compared. */
async function play(which) {
    await openContext();
    const { take } = state, again = player.playing && state.shown === which;
    if (again) at("position").value = frameOf(player.position);
    player.stop();
    state.shown = which;
    const rate = take.model.sample_rate, from = at("position").value * take.model.hop / rate;
    if (!again) player.play((which === "in" ? take.pcm : take.decoded).all(), rate, from);
    refresh();
}

function ended() {
    at("position").value = 0;
    refresh();
}

function frameOf(seconds) {
    return Math.floor(seconds * state.model.sample_rate / state.model.hop);
}

/* ---- drawing ---- */

let asked = false;

function refresh() {
    if (!asked) requestAnimationFrame(draw);
    asked = true;
}

function draw() {
    asked = false;
    const { take, live } = state, playing = player?.playing ?? false;
    at("play-in").setAttribute("aria-pressed", playing && state.shown === "in");
    at("play-out").setAttribute("aria-pressed", playing && state.shown === "out");
    if (!take) return;
    if (playing) {
        at("position").value = frameOf(player.position);
        refresh();
    }
    drawPictures(take, live !== null);
    drawNumbers(take, live);
}

/* What is spoken now runs through the picture, or where motion is not wanted, and later, it is turned
 * like pages. */
function drawPictures(take, running) {
    const { hop, entries } = take.model, columns = pictures.codes.columns;
    const position = running ? take.frames : Number(at("position").value);
    const first = running && !calm.matches ? Math.max(0, position - columns) : Math.floor(position / columns) * columns;
    state.first = first;
    pictures.in.draw(take.pcm.all(), hop, first);
    pictures.codes.draw(take.codes.all(), take.codebooks, entries, first);
    pictures.out.draw(take.decoded.all(), hop, first);
    at("cursor").hidden = running;
    at("cursor").style.left = `${100 * (position - first) / columns}%`;
    at("position").max = take.frames;
    at("position").ariaValueText = `${(position * hop / take.model.sample_rate).toFixed(1)} s`;
}

function drawNumbers(take, live) {
    at("length").textContent = `${take.seconds.toFixed(1)} s`;
    at("rate").textContent = take.codes.length ? `${(take.bitsPerSecond / 1000).toFixed(2)} kb/s` : "–";
    if (!live) return;
    for (const [id, latencies] of [["codes-after", live.codesAfter], ["sound-after", live.soundAfter]])
        at(id).textContent = latencies.median === undefined ? "–" : `${latencies.median.toFixed(0)} ms`;
    if (state.phase === "live")
        say(live.behind > 1 ? "The daemon is behind: sound waits to be coded." : HEADPHONES, live.behind > 1);
}

/* ---- events ---- */

/* Whatever goes wrong is said. */
const guarded = (act) => (...words) => act(...words).catch(failed);

at("speak").onclick = guarded(async () => {
    if (state.phase === "away") await greet();
    else if (state.phase === "live") await stop();
    else if (state.phase === "idle") await speak();
});
at("choose").onclick = () => state.phase === "idle" && at("file").click();
at("file").onchange = guarded(async ({ target }) => {
    const [file] = target.files;
    target.value = ""; /* the same file may come again */
    if (file) await open(file);
});
at("models").onchange = guarded(({ target }) => turnTo(target.value));
at("rates").onchange = guarded(async () => {
    if (!state.take || state.phase !== "idle") return;
    player?.stop();
    await code(state.take);
});
at("mute").onchange = () => state.live?.mute(at("mute").checked);
at("play-in").onclick = guarded(() => play("in"));
at("play-out").onclick = guarded(() => play("out"));
at("position").oninput = guarded(async () => {
    if (player?.playing) {
        player.stop();
        await play(state.shown);
    }
    refresh();
});
at("key-form").onsubmit = (event) => {
    event.preventDefault();
    state.key = at("key").value;
    greet();
};
const over = (yes) => document.querySelector(".instrument").classList.toggle("over", yes);
addEventListener("dragover", (event) => {
    event.preventDefault();
    over(state.phase === "idle");
});
addEventListener("dragleave", () => over(false));
addEventListener("drop", guarded(async (event) => {
    event.preventDefault();
    over(false);
    const [file] = event.dataTransfer.files;
    if (file && state.phase === "idle") await open(file);
}));
new ResizeObserver(refresh).observe(at("codes"));

greet();
