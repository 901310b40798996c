/*
 * Runs tapes: picks the kernels of this processor, and has a small pool of threads that share them. A thread that waits spins for
 * about as long as waking it would take, then sleeps.
 */
#include "tape.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "attention-sizes.h"
#include "memory.h"

/* ---- which kernels ---- */

/* Tests look at what the machine would leave aside, too: 0 is for any processor, 1 has AVX2, 2 AVX-512. */
static int best_allowed = 2;

static int best_here(void) {
#ifdef HAS_X86_KERNELS
  if (__builtin_cpu_supports("avx512f")) return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

void limit_processor(int best) { best_allowed = best; }

/* Which kernels run. */
int processor(void) { return best_here() < best_allowed ? best_here() : best_allowed; }

#define TEXT(x) #x
#define TEXT_OF(macro) TEXT(macro)
#if defined(__clang__)
#define COMPILER "clang " TEXT_OF(__clang_major__)
#elif defined(__GNUC__)
#define COMPILER "gcc " TEXT_OF(__GNUC__)
#else
#define COMPILER "another compiler"
#endif
#if defined(__x86_64__)
#define ARCHITECTURE "x86-64"
#elif defined(__ARM_NEON)
#define ARCHITECTURE "NEON"
#elif defined(__aarch64__)
#define ARCHITECTURE "aarch64"
#else
#define ARCHITECTURE "another processor"
#endif

/* What decides in which order numbers are rounded here: the kind of processor, and who compiled its kernels. */
const char *kernels_here(void) {
  static const char *const names[] = {ARCHITECTURE ", " COMPILER, "AVX2, " COMPILER, "AVX-512, " COMPILER};
  return names[processor()];
}

static const NamedKernel *kernels(void) {
#ifdef HAS_X86_KERNELS
  if (processor() == 2) return kernels_avx512;
  if (processor() == 1) return kernels_avx2;
#endif
  return kernels_any;
}

/* The kernels' names one after the other, by which tape.ts knows their places; null after the last. */
const char *kernel_name(int place) { return kernels_any[place].name; }

/* ---- waiting ---- */

enum { SPINS = 4000 };

/* A number that threads wait for to change. */
typedef struct {
  _Alignas(64) atomic_long value;
  atomic_long sleepers;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} Signal;

static void prepare(Signal *s) {
  pthread_mutex_init(&s->lock, 0);
  pthread_cond_init(&s->changed, 0);
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void raise_signal(Signal *s) {
  atomic_fetch_add(&s->value, 1);
  if (atomic_load(&s->sleepers) == 0) return;
  pthread_mutex_lock(&s->lock);
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static void wait_beyond(Signal *s, long value) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&s->value, memory_order_acquire) != value) return;
    relax();
  }
  pthread_mutex_lock(&s->lock);
  atomic_fetch_add(&s->sleepers, 1);
  while (atomic_load(&s->value) == value) pthread_cond_wait(&s->changed, &s->lock);
  atomic_fetch_sub(&s->sleepers, 1);
  pthread_mutex_unlock(&s->lock);
}

/* Where the members of a team wait for each other. */
typedef struct {
  atomic_long arrived;
  Signal round;
} Meeting;

static void meet(Meeting *m, int64_t members) {
  if (members == 1) return;
  const long round = atomic_load(&m->round.value);
  if (atomic_fetch_add(&m->arrived, 1) + 1 < members) {
    wait_beyond(&m->round, round);
    return;
  }
  atomic_store(&m->arrived, 0);
  raise_signal(&m->round);
}

/* ---- the pool ---- */

enum { MOST_THREADS = 256 };

/* `count` tapes, dealt to `teams` of `members` threads each. */
typedef struct {
  const Call *const *tapes;
  const int64_t *lengths;
  int64_t count, teams, members;
  const NamedKernel *kernels;
} Job;

typedef struct {
  int64_t number;
  long jobs_before; /* begun before it was made */
  Copies *copies;
} Thread;

static Job job;
static Signal begun, done; /* done counts the pool's threads that are through, one by one */
static Meeting meetings[MOST_THREADS]; /* of each team there can be */
static Thread pool[MOST_THREADS];      /* the first is the one that calls */
static int64_t threads;

static void work(const Thread *thread) {
  const int64_t team = thread->number / job.members;
  if (team >= job.teams) return;
  const Team own = {thread->number % job.members, job.members, thread->copies};
  for (int64_t i = team; i < job.count; i += job.teams)
    for (int64_t n = 0; n < job.lengths[i]; n++) {
      const Call *call = &job.tapes[i][n];
      job.kernels[call->kernel].run(call, own);
      meet(&meetings[team], job.members);
    }
}

static void *serve(void *argument) {
  const Thread *thread = argument;
  for (long seen = thread->jobs_before;; seen++) {
    wait_beyond(&begun, seen);
    work(thread);
    raise_signal(&done);
  }
  return 0;
}

int64_t most_threads(void) { return MOST_THREADS; }

/* Makes the threads that are missing. Returns how many there are: fewer than wanted if the system gives no more. */
int64_t ensure_threads(int64_t wanted) {
  if (threads == 0) {
    prepare(&begun);
    prepare(&done);
    for (int i = 0; i < MOST_THREADS; i++) prepare(&meetings[i].round);
  }
  while (threads < wanted && threads < MOST_THREADS) {
    Thread *new = &pool[threads];
    *new = (Thread){threads, atomic_load(&begun.value), map_memory(sizeof(Copies))};
    if (!new->copies) break;
    pthread_t id;
    if (threads > 0 && pthread_create(&id, 0, serve, new)) break;
    if (threads > 0) pthread_detach(id);
    threads++;
  }
  return threads;
}

/* Between runs: the next one may have smaller products, which fewer threads share. */
void empty_copies(void) {
  for (int64_t i = 0; i < threads; i++) empty_memory(pool[i].copies, sizeof(Copies));
}

/* Runs tapes to their ends; at least teams · members threads must have been made. */
void run_tapes(const Call *const *tapes, const int64_t *lengths, int64_t count, int64_t teams, int64_t members) {
  job = (Job){tapes, lengths, count, teams, members, kernels()};
  if (teams * members == 1) {
    work(&pool[0]);
    return;
  }
  const long through = atomic_load(&done.value) + threads - 1;
  raise_signal(&begun);
  work(&pool[0]);
  for (long now; (now = atomic_load(&done.value)) != through;) wait_beyond(&done, now);
}

/* For those that lay the memory out. */
int64_t multiplications_per_thread(void) { return MULTIPLICATIONS_PER_THREAD; }
int64_t attention_weight_numbers(int64_t tokens) { return attention_weights(tokens); }
int64_t attention_room_numbers(int64_t tokens, int64_t numbers) { return attention_room(tokens, numbers); }
int64_t attention_block_queries(void) { return ATTENTION_BLOCK; }
