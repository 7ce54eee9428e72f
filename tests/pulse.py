"""A sound system of one's own: a PulseAudio without hardware. What is played into one of its rooms can be
heard there, as by a microphone.

    with Pulse() as pulse:
        pulse.room("hall", 48000)
        subprocess.run([...], env=pulse.inside("hall"))
"""

import os
import pathlib
import subprocess
import tempfile
import time

import numpy

# What PulseAudio's libraries leave behind when ALSA has loaded them; to tell it from our own leaks takes
# whole call stacks.
LEAKS = "leak:snd_dlopen\n"
ASOUND = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"


class Pulse:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pulse-")
        home = pathlib.Path(self.folder.name)
        (home / ".asoundrc").write_text(ASOUND)
        (home / "leaks").write_text(LEAKS)
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PULSE_", "ALSA_", "TESSERA_"))}
        self.environment = {**plain, "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
                            "XDG_CONFIG_HOME": str(home), "PULSE_RUNTIME_PATH": str(home / "pulse"),
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":fast_unwind_on_malloc=0",
                            "LSAN_OPTIONS": f"suppressions={home}/leaks:print_suppressions=0"}
        with open(home / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
                 "--log-target=stderr", "-L", "module-native-protocol-unix"],
                env=self.environment, stdin=subprocess.DEVNULL, stderr=log)
        self.wait_until(lambda: subprocess.run(["pactl", "info"], env=self.environment, stdout=subprocess.DEVNULL,
                                               stderr=subprocess.DEVNULL).returncode == 0)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def wait_until(self, what, seconds=60):
        end = time.monotonic() + seconds
        while not what():
            log = pathlib.Path(self.folder.name, "log").read_text(errors="replace")
            assert self.process.poll() is None, log
            assert time.monotonic() < end, log
            time.sleep(0.02)

    def control(self, *words):
        return subprocess.run(["pactl", *map(str, words)], env=self.environment, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()

    def room(self, name, rate, channels=1):
        """A sink that plays to nobody but its monitor. Returns the module's number."""
        return self.control("load-module", "module-null-sink", f"sink_name={name}", f"rate={rate}",
                            f"channels={channels}", "format=float32le")

    def inside(self, name, speaker=None):
        """The environment of a program that hears room `name`, and speaks there or in another room."""
        return {**self.environment, "PULSE_SOURCE": f"{name}.monitor", "PULSE_SINK": speaker or name}

    def wait_for_listener(self):
        """Until a program hears something; there is one at a time."""
        self.wait_until(lambda: self.control("list", "short", "source-outputs"))

    def say(self, room, pcm, rate=24000):
        """Starts to play floats [N] or [N][channels] in a room."""
        pcm = numpy.asarray(pcm, "f4")
        player = subprocess.Popen(
            ["pacat", "--raw", "--format=float32le", f"--rate={rate}", f"--channels={pcm[0].size}",
             "--latency-msec=20", "-d", room],
            env=self.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        player.stdin.write(pcm.tobytes())
        player.stdin.close()
        return player

    def listen(self, room, path, rate=24000, channels=1):
        """Starts to record a room into a file of floats."""
        with open(path, "wb") as out:
            recorder = subprocess.Popen(
                ["parec", "--raw", "--format=float32le", f"--rate={rate}", f"--channels={channels}",
                 "--latency-msec=20", "-d", f"{room}.monitor"], env=self.environment, stdout=out,
                stderr=subprocess.DEVNULL)
        self.wait_until(lambda: pathlib.Path(path).stat().st_size > 0)
        return recorder
