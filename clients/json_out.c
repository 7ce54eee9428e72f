/* A tree in, a line of text out; the tree is gone afterwards. */
#include "json_out.h"

#include "report.h"

void cli_json_print(cJSON *root, FILE *to)
{
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (text)
        fprintf(to, "%s\n", text);
    else
        cli_fail_memory();
    cJSON_free(text);
}
