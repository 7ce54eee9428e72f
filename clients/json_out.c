/* A tree in, a line of text out; the tree is gone afterwards. */
#include "json_out.h"

#include "formats/utf8.h"
#include "report.h"

#include <stdlib.h>

void cli_json_print(cJSON *root, FILE *to)
{
    char *bytes = cJSON_PrintUnformatted(root), *text = bytes ? fmt_as_utf8(bytes) : NULL;
    cJSON_Delete(root);
    cJSON_free(bytes);
    if (text)
        fprintf(to, "%s\n", text);
    else
        cli_fail_memory();
    free(text);
}
