"""The default model's training: a folder of recordings in, a model file out. README.md is the way in.

    data      recordings -> int16 at one rate in a file -> crops
    augment   a crop -> the same crop as another microphone might have heard it
    model     samples -> latent -> quantizer -> samples, tensor for tensor what docs/model.md names
    losses    what came back, beside what went in
    judges    the discriminators: the same question, learned
    optimizer gradients -> weights
    loop      all of it, step by step; team runs it on every core, checkpoint keeps it
    export    weights -> a model file, golden vectors, discriminators to go on with
"""


class Refused(Exception):
    """What the world got wrong, in one line for whoever started the program."""
