/*
 * espalier: one backbone, many adapters, one pass through the shared trunk.
 *
 * Functions that can fail return an EspalierStatus; espalier_last_error() then returns the message. A function that fails
 * leaves `out` unchanged. Texts passed in are UTF-8, end with a NUL, and are not used after the call. Any number of threads
 * may share a handle, as long as none frees it while another uses it.
 *
 * A fork copies only the thread that forks. In a child of a process that has opened a backbone, or has used rayon's thread
 * pool otherwise, espalier_open, espalier_attach, espalier_replace and espalier_run fail with a message. A server that
 * forks its workers opens the backbone in each worker, after the fork; the workers still share the pages of a packed file.
 */
#ifndef ESPALIER_H
#define ESPALIER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The result of a call. */
typedef enum EspalierStatus {
    /* Success. */
    ESPALIER_STATUS_OK = 0,
    /* An argument was NULL, not UTF-8, out of range or unknown. */
    ESPALIER_STATUS_INVALID_ARGUMENT = 1,
    /* A file or directory could not be opened, an adapter does not fit or there is none of that name, or the process was
       forked without its threads. */
    ESPALIER_STATUS_REFUSED = 2,
    /* A bug in espalier. Nothing was done; the handles can still be used. */
    ESPALIER_STATUS_PANIC = 3
} EspalierStatus;

/* The kind of an answer. */
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

/* The answers of one run. What is read from them points into them and is valid until they are freed. */
typedef struct EspalierAnswers EspalierAnswers;

/* UTF-8 text with its length in bytes. It does not end with a NUL: print it with "%.*s". */
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
    /* Its first character and the one after its last. Characters are counted, not bytes. */
    size_t start;
    size_t end;
    /* Its text. */
    EspalierString text;
} EspalierEntity;

/* The answer to one request for one text. */
typedef struct EspalierAnswer {
    EspalierKind kind;
    /* Whether the text is longer than the model takes, so that its end was not read. */
    bool truncated;
    /* Number of entities, labels or elements of the vector. */
    size_t count;
    /* The most probable label; empty for other kinds. */
    EspalierLabel best;
    /* The `count` elements of the vector; NULL for other kinds. */
    const float *vector;
} EspalierAnswer;

/* The message of the last call of this thread that failed; empty if none has. The text ends with a NUL and is valid until
   the next call of this thread that fails. */
const char *espalier_last_error(void);

/* Opens a backbone, a directory or a packed file, to compute in `precision`: "auto", "f32", "bf16", "int8", or NULL for f32
 * (a directory) or the precision in which it is stored (a packed file).
 *
 * A packed file is mapped into memory while the runtime is open. To replace it, write another file and rename that, as
 * espalier pack and espalier quantize do. Writing into the mapped file changes the answers, and truncating it ends the
 * process with SIGBUS. */
EspalierStatus espalier_open(const char *path, const char *precision, EspalierRuntime **out);

/* As espalier_open, but copies a packed file into memory, so that it may change afterwards. That takes the file's size in
 * memory, and more time. A directory is always copied. */
EspalierStatus espalier_open_copied(const char *path, const char *precision, EspalierRuntime **out);

/* Opens an adapter's directory and attaches the adapter as `name`. */
EspalierStatus espalier_attach(const EspalierRuntime *runtime, const char *name, const char *directory);

/* Opens an adapter's directory and replaces the adapter `name` by it. If this fails, the old adapter stays attached. */
EspalierStatus espalier_replace(const EspalierRuntime *runtime, const char *name, const char *directory);

/* Detaches the adapter `name`. */
EspalierStatus espalier_detach(const EspalierRuntime *runtime, const char *name);

/* Answers all requests for each text. A request is an adapter's name, or NULL for the text's vector by the backbone alone. */
EspalierStatus espalier_run(const EspalierRuntime *runtime, const char *const *texts, size_t text_count,
                            const char *const *requests, size_t request_count, EspalierAnswers **out);

/* Closes a runtime. Its answers stay valid. NULL is allowed. */
void espalier_runtime_free(EspalierRuntime *runtime);

/* The answer to the request at index `request` for the text at index `text`. */
EspalierStatus espalier_answer(const EspalierAnswers *answers, size_t text, size_t request, EspalierAnswer *out);

/* The entity at `index` of an answer, in the order of the text. */
EspalierStatus espalier_entity(const EspalierAnswers *answers, size_t text, size_t request, size_t index,
                               EspalierEntity *out);

/* The label at `index` of an answer, in the order of the adapter's classes. */
EspalierStatus espalier_label(const EspalierAnswers *answers, size_t text, size_t request, size_t index,
                              EspalierLabel *out);

/* Frees answers and everything that was read from them. NULL is allowed. */
void espalier_answers_free(EspalierAnswers *answers);

#ifdef __cplusplus
}
#endif

#endif
