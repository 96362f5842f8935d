/*
 * espalier: one backbone, many adapters, one pass through the shared trunk.
 *
 * Functions that can fail return an EspalierStatus; espalier_last_error() then says what was wrong. A function that fails
 * leaves `out` as it was. Texts passed in are UTF-8, end with a NUL and are not kept after the call. Any number of threads
 * may share a handle, as long as none frees it while another uses it.
 *
 * A fork copies no threads but the one that forks. In a child of a process that has opened a backbone, or used the threads
 * of rayon otherwise, espalier_open, espalier_attach, espalier_replace and espalier_run are refused, and say so. A server
 * that forks its workers opens the backbone in each worker, after the fork; the pages of a packed file are shared all the same.
 */
#ifndef ESPALIER_H
#define ESPALIER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call went. */
typedef enum EspalierStatus {
    /* It did what was asked. */
    ESPALIER_STATUS_OK = 0,
    /* An argument was NULL, not UTF-8, out of range or unknown. */
    ESPALIER_STATUS_INVALID_ARGUMENT = 1,
    /* A file or directory could not be read, an adapter is not what the call takes it to be, or the process was forked
       without its threads. */
    ESPALIER_STATUS_REFUSED = 2,
    /* It came upon a bug in espalier. What was asked is not done; the handles still work. */
    ESPALIER_STATUS_PANIC = 3
} EspalierStatus;

/* What an answer consists of. */
typedef enum EspalierKind {
    /* Entities: see espalier_entity. */
    ESPALIER_KIND_ENTITIES = 0,
    /* Labels with probabilities: see espalier_label. */
    ESPALIER_KIND_LABEL = 1,
    /* A text vector. */
    ESPALIER_KIND_VECTOR = 2
} EspalierKind;

/* A backbone with the adapters attached to it. */
typedef struct EspalierRuntime EspalierRuntime;

/* The answers of one run. What is read from them lies in them, and lives as long as they do. */
typedef struct EspalierAnswers EspalierAnswers;

/* UTF-8 of a length in bytes. No NUL ends it: print it with "%.*s". */
typedef struct EspalierString {
    const char *data;
    size_t length;
} EspalierString;

/* A label and its probability. */
typedef struct EspalierLabel {
    EspalierString label;
    float score;
} EspalierLabel;

/* An entity in a text. */
typedef struct EspalierEntity {
    EspalierString label;
    /* Mean probability of its words' tags. */
    float score;
    /* Its first character, and the one after its last: counted in characters, not bytes. */
    size_t start;
    size_t end;
    /* The characters themselves. */
    EspalierString text;
} EspalierEntity;

/* The answer to one request on one text. */
typedef struct EspalierAnswer {
    EspalierKind kind;
    /* Whether the text is longer than the model takes, so that its end was not read. */
    bool truncated;
    /* How many entities, labels or numbers there are. */
    size_t count;
    /* The most probable label; empty of the other kinds. */
    EspalierLabel best;
    /* The `count` numbers of a vector; NULL of the other kinds. */
    const float *vector;
} EspalierAnswer;

/* What was wrong in the last call of this thread that failed; empty if none has. The text ends with a NUL and stays until
   the next call of this thread that fails. */
const char *espalier_last_error(void);

/* Opens a backbone, a directory or a packed file, to compute in `precision`: "auto", "f32", "bf16" or "int8"; NULL means f32 for
 * a directory and what it stores for a packed file.
 *
 * A packed file is read where it lies as long as the runtime is open. Replace it by writing another file and renaming that
 * to its name, as espalier pack and espalier quantize do. Whoever writes into the file changes the answers, and whoever
 * makes it shorter ends the process with SIGBUS. */
EspalierStatus espalier_open(const char *path, const char *precision, EspalierRuntime **out);

/* espalier_open for those who cannot promise that nobody writes into a packed file: it is copied into memory, all of it,
 * and checked there. That takes the file's size in memory, and longer. A directory is always read as a whole. */
EspalierStatus espalier_open_copied(const char *path, const char *precision, EspalierRuntime **out);

/* Reads an adapter directory and makes it available as `name`. */
EspalierStatus espalier_attach(const EspalierRuntime *runtime, const char *name, const char *directory);

/* Reads an adapter directory and puts it in the place of the adapter `name`, which stays if this fails. */
EspalierStatus espalier_replace(const EspalierRuntime *runtime, const char *name, const char *directory);

/* Forgets the adapter `name`. */
EspalierStatus espalier_detach(const EspalierRuntime *runtime, const char *name);

/* Answers all requests on each text. A request is an adapter's name, or NULL for the backbone's own vector. */
EspalierStatus espalier_run(const EspalierRuntime *runtime, const char *const *texts, size_t text_count,
                            const char *const *requests, size_t request_count, EspalierAnswers **out);

/* Closes a runtime. Its answers live on; NULL is fine. */
void espalier_runtime_free(EspalierRuntime *runtime);

/* The answer to the request at `request` on the text at `text`. */
EspalierStatus espalier_answer(const EspalierAnswers *answers, size_t text, size_t request, EspalierAnswer *out);

/* The entity at `index` of an answer, in the order of the text. */
EspalierStatus espalier_entity(const EspalierAnswers *answers, size_t text, size_t request, size_t index,
                               EspalierEntity *out);

/* The label at `index` of an answer, in the order in which the adapter lists them. */
EspalierStatus espalier_label(const EspalierAnswers *answers, size_t text, size_t request, size_t index,
                              EspalierLabel *out);

/* Frees answers, and with them all that was read from them; NULL is fine. */
void espalier_answers_free(EspalierAnswers *answers);

#ifdef __cplusplus
}
#endif

#endif
