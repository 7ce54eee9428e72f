/* A SEANet's widths in, rows out. A layer's tensors carry the number that it has in the published
 * network, where activations are numbered too. */
#include "src/seanet.h"

#include <string.h>

/* Four slots are in use beside the sound's: the trunk and three for a block's branches. */
enum { A = 1, B, C, D };

struct builder {
    const struct tess_seanet *net;
    struct tess_rows *rows;
    const char *side;
    int index; /* of the next layer in the published network */
    int trunk, width;
};

static struct tess_row window(const struct builder *b, struct tess_row row, int kernel, int stride)
{
    row.kernel = kernel;
    row.stride = stride;
    row.right = b->net->causal ? 0 : (kernel - stride) / 2;
    row.padding = b->net->reflect ? TESS_PAD_REFLECT : TESS_PAD_ZERO;
    row.fill = 1;
    return row;
}

static int free_slot(int trunk, int other)
{
    int slot = A;
    while (slot == trunk || slot == other)
        slot++;
    return slot;
}

/* The row and, in a net that has them, the norm of what it gives. */
static void add_normed(const struct builder *b, struct tess_row row)
{
    struct tess_row norm = tess_row(TESS_OP_GROUP_NORM, row.out, row.out, 0, "%s.norm", row.tensor);
    norm.kernel = row.channels;
    norm.value = 1e-5f;
    tess_rows_add(b->rows, row);
    if (b->net->group_norm) tess_rows_add(b->rows, norm);
}

/* The next numbered layer: a convolution from the trunk to a new trunk. */
static void add_conv(struct builder *b, int channels, int kernel, int stride)
{
    int out = free_slot(b->trunk, b->trunk);
    struct tess_row row =
        tess_row(TESS_OP_CONV, b->trunk, out, channels, "%s.%d", b->side, b->index++);
    add_normed(b, window(b, row, kernel, stride));
    b->trunk = out;
    b->width = channels;
}

/* A norm is of what is not trimmed yet. */
static void add_upconv(struct builder *b, int channels, int stride)
{
    const int in = b->trunk, out = free_slot(in, in), n = b->index++;
    const int right = b->net->causal ? stride : stride / 2;
    struct tess_row row = tess_row(TESS_OP_UPCONV, in, out, channels, "%s.%d", b->side, n);
    struct tess_row trim = tess_row(TESS_OP_TRIM, out, in, 0, "%s.%d", b->side, n);
    row.kernel = 2 * stride;
    row.stride = stride;
    row.right = trim.right = right;
    row.fill = b->net->group_norm;
    trim.kernel = stride - right;
    add_normed(b, row);
    if (b->net->group_norm) tess_rows_add(b->rows, trim);
    b->trunk = b->net->group_norm ? in : out;
    b->width = channels;
}

static void add_elu(struct builder *b)
{
    tess_rows_add(b->rows,
                  tess_row(TESS_OP_ELU, b->trunk, b->trunk, 0, "%s.%d", b->side, b->index++));
}

/* trunk = shortcut(trunk) + conv_1(elu(conv_k(elu(trunk)))) */
static void add_residual(struct builder *b)
{
    const int in = b->trunk, y = free_slot(in, in), z = free_slot(in, y), half = b->width / 2;
    const char *side = b->side;
    const int n = b->index++;
    struct tess_row narrow = tess_row(TESS_OP_CONV, y, z, half, "%s.%d.block.1", side, n);
    tess_rows_add(b->rows, tess_row(TESS_OP_ELU, in, y, 0, "%s.%d.block.0", side, n));
    add_normed(b, window(b, narrow, b->net->residual_kernel, 1));
    tess_rows_add(b->rows, tess_row(TESS_OP_ELU, z, z, 0, "%s.%d.block.2", side, n));
    add_normed(b, tess_row(TESS_OP_CONV, z, y, b->width, "%s.%d.block.3", side, n));
    struct tess_row sum = tess_row(TESS_OP_ADD, y, y, 0, "%s.%d", side, n);
    sum.with = in;
    if (b->net->shortcut) {
        sum.with = z;
        add_normed(b, tess_row(TESS_OP_CONV, in, z, b->width, "%s.%d.shortcut", side, n));
    }
    tess_rows_add(b->rows, sum);
    b->trunk = y;
}

/* trunk += lstm(trunk) */
static void add_lstm(struct builder *b)
{
    if (!b->net->lstm_layers) return;
    int from = b->trunk;
    for (int i = 0; i < b->net->lstm_layers; i++) {
        int to = free_slot(b->trunk, from);
        tess_rows_add(b->rows, tess_row(TESS_OP_LSTM, from, to, b->width, "%s.%d.lstm.%d", b->side,
                                        b->index, i));
        from = to;
    }
    struct tess_row sum = tess_row(TESS_OP_ADD, from, b->trunk, 0, "%s.%d", b->side, b->index++);
    sum.with = b->trunk;
    tess_rows_add(b->rows, sum);
}

int tess_seanet_encoder(const struct tess_seanet *net, struct tess_rows *rows)
{
    struct builder b = {.net = net, .rows = rows, .side = "encoder"};
    add_conv(&b, net->width, net->kernel, 1);
    for (int i = net->n_ratios - 1; i >= 0; i--) {
        add_residual(&b);
        add_elu(&b);
        add_conv(&b, 2 * b.width, 2 * net->ratios[i], net->ratios[i]);
    }
    add_lstm(&b);
    add_elu(&b);
    add_conv(&b, net->latent_width, net->last_kernel, 1);
    return b.trunk;
}

void tess_seanet_decoder(const struct tess_seanet *net, struct tess_rows *rows, int in)
{
    struct builder b = {.net = net, .rows = rows, .side = "decoder", .trunk = in};
    add_conv(&b, net->width << net->n_ratios, net->kernel, 1);
    add_lstm(&b);
    for (int i = 0; i < net->n_ratios; i++) {
        add_elu(&b);
        add_upconv(&b, b.width / 2, net->ratios[i]);
        add_residual(&b);
    }
    add_elu(&b);
    add_conv(&b, net->channels, net->last_kernel, 1);
}

int tess_seanet_read(const struct tess_config *config,
                     const struct tess_key *more,
                     size_t n_more,
                     struct tess_blueprint *blueprint,
                     struct tess_seanet *net,
                     struct tess_why *why)
{
    char padding[16];
    const struct tess_key keys[] = {
        {"width",           2, 256,  &net->width          },
        {"latent_width",    1, 4096, &net->latent_width   },
        {"kernel",          1, 31,   &net->kernel         },
        {"last_kernel",     1, 31,   &net->last_kernel    },
        {"residual_kernel", 1, 31,   &net->residual_kernel},
        {"shortcut",        0, 1,    &net->shortcut       },
        {"lstm_layers",     0, 4,    &net->lstm_layers    },
        {"causal",          0, 1,    &net->causal         },
        {"group_norm",      0, 1,    &net->group_norm     },
    };
    int err = tess_family_read_rates(config, blueprint, why);
    if (!err) err = tess_config_keys(config, keys, sizeof keys / sizeof *keys, why);
    if (!err) err = tess_config_keys(config, more, n_more, why);
    if (err) return err;
    net->channels = blueprint->channels;
    blueprint->latent_width = net->latent_width;
    net->n_ratios = tess_config_ints(config, "ratios", 1, 64, net->ratios, 8, why);
    if (net->n_ratios < 0) return net->n_ratios;
    err = tess_config_string(config, "padding", padding, sizeof padding, why);
    if (err) return err;
    net->reflect = !strcmp(padding, "reflect");
    if (!net->reflect && strcmp(padding, "zero"))
        return tess_base_fail(why, TESS_E_MODEL, "config: the padding '%s' is not known", padding);
    return 0;
}
