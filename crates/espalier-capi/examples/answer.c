/*
 * Answers texts with an adapter, and gives the backbone's vector of each.
 *
 *     cargo build --profile device -p espalier-capi
 *     cc crates/espalier-capi/examples/answer.c -Icrates/espalier-capi/include \
 *         -Ltarget/device -lespalier_capi -Wl,-rpath,target/device -o answer
 *     ./answer BACKBONE ADAPTER TEXT...
 */
#include "espalier.h"

#include <stdio.h>
#include <stdlib.h>

static void check(EspalierStatus status) {
    if (status != ESPALIER_STATUS_OK) {
        fprintf(stderr, "error %d: %s\n", (int)status, espalier_last_error());
        exit(1);
    }
}

static void print_string(EspalierString string) {
    printf("%.*s", (int)string.length, string.data);
}

static void print_label(EspalierLabel label) {
    print_string(label.label);
    printf(" %.4f", label.score);
}

static void print_entity(EspalierEntity entity) {
    print_label((EspalierLabel){entity.label, entity.score});
    printf(" %zu..%zu ", entity.start, entity.end);
    print_string(entity.text);
}

static void print_answer(const EspalierAnswers *answers, size_t text, size_t request) {
    EspalierAnswer answer;
    check(espalier_answer(answers, text, request, &answer));
    if (answer.truncated) {
        printf("(truncated) ");
    }
    if (answer.kind == ESPALIER_KIND_LABEL) {
        print_label(answer.best);
        printf(" of");
    }
    for (size_t i = 0; i < answer.count; i++) {
        printf(i == 0 ? " " : ", ");
        if (answer.kind == ESPALIER_KIND_ENTITIES) {
            EspalierEntity entity;
            check(espalier_entity(answers, text, request, i, &entity));
            print_entity(entity);
        } else if (answer.kind == ESPALIER_KIND_LABEL) {
            EspalierLabel label;
            check(espalier_label(answers, text, request, i, &label));
            print_label(label);
        } else {
            printf("%.4f", answer.vector[i]);
        }
    }
    printf("\n");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s BACKBONE ADAPTER TEXT...\n", argv[0]);
        return 2;
    }
    EspalierRuntime *runtime = NULL;
    check(espalier_open(argv[1], NULL, &runtime));
    check(espalier_attach(runtime, "adapter", argv[2]));

    const char *requests[] = {"adapter", NULL};
    const char *const *texts = (const char *const *)(argv + 3);
    size_t text_count = (size_t)argc - 3;
    EspalierAnswers *answers = NULL;
    check(espalier_run(runtime, texts, text_count, requests, 2, &answers));
    /* A runtime may change, and go, while there are answers of it. */
    check(espalier_replace(runtime, "adapter", argv[2]));
    check(espalier_detach(runtime, "adapter"));
    espalier_runtime_free(runtime);

    for (size_t text = 0; text < text_count; text++) {
        for (size_t request = 0; request < 2; request++) {
            print_answer(answers, text, request);
        }
    }
    espalier_answers_free(answers);
    return 0;
}
