/*
 * What the child of a fork gets, a line a call. usage: fork nothing|opened|ran BACKBONE ADAPTER, the first being what the
 * process has done before it forks.
 */
#define _POSIX_C_SOURCE 200809L

#include "espalier.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const TEXTS[] = {"music in london"};
static const char *const REQUESTS[] = {NULL};

static void say(const char *call, EspalierStatus status) {
    printf("%s: %s\n", call, status == ESPALIER_STATUS_OK ? "ok" : espalier_last_error());
}

static EspalierStatus run(const EspalierRuntime *runtime) {
    EspalierAnswers *answers = NULL;
    EspalierStatus status = espalier_run(runtime, TEXTS, 1, REQUESTS, 1, &answers);
    espalier_answers_free(answers);
    return status;
}

/* All that may need threads, on a runtime of before the fork if there is one, else on its own. */
static void use(EspalierRuntime *runtime, const char *backbone, const char *adapter) {
    EspalierRuntime *own = NULL;
    say("open", espalier_open(backbone, "auto", &own));
    say("open_copied", espalier_open_copied(backbone, "auto", runtime == NULL ? &runtime : &own));
    say("attach", espalier_attach(runtime, "a", adapter));
    say("replace", espalier_replace(runtime, "a", adapter));
    say("run", run(runtime));
    espalier_runtime_free(runtime);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        return 2;
    }
    EspalierRuntime *runtime = NULL;
    if (strcmp(argv[1], "nothing") != 0) {
        say("before: open", espalier_open(argv[2], "auto", &runtime));
    }
    if (strcmp(argv[1], "ran") == 0) {
        say("before: run", run(runtime));
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        /* Whoever waits for ever is ended, which shows in the status. */
        alarm(20);
        use(runtime, argv[2], argv[3]);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) {
        printf("the child ended with status %#x\n", (unsigned)status);
        return 1;
    }
    if (runtime != NULL) {
        say("after: run", run(runtime));
    }
    return 0;
}
