/*
 * Causal attention, each head of each sequence on its own. Queries are taken in blocks of BLOCK: block i needs the keys up to its
 * own end alone, so nearly half of a long sequence's scores are never computed, and what a block needs stays in the caches.
 * Heads are read and written where they are, columns h·D ... (h+1)·D − 1 of [N, C].
 *
 * Weights P are kept for the backward pass: for each sequence and head the blocks one behind the other, each
 * [queries of the block, keys up to its end].
 */
enum { BLOCK = ATTENTION_BLOCK };

/* Sizes of one head: T tokens, D numbers to a token, C numbers from one token to the next. */
typedef struct {
  int64_t t, d, c, sequences, heads;
  int64_t weights; /* numbers of P */
} Heads;

INLINE Heads heads_of(const Call *call) {
  const int64_t t = call->size[1], heads = call->size[2], d = call->size[3];
  return (Heads){t, d, heads * d, call->size[0], heads, attention_weights(t)};
}

/* A thread's room: panels of three matrices, a block's gradients of scores, and the last rows of a product. */
typedef struct {
  float *first, *second, *block, *scores, *edge;
} Room;

INLINE Room room_of(const Heads *h, float *room, Team team) {
  room += team.member * attention_room(h->t, h->d);
  const int64_t t = pieces(h->t, 32) * 32, d = pieces(h->d, 32) * 32;
  Room r = {.first = room};
  r.second = r.first + t * d;
  r.block = r.second + t * d;
  r.scores = r.block + BLOCK * d;
  r.edge = r.scores + BLOCK * t;
  return r;
}

/* Of a row's first `count` numbers, so many more that they fill whole registers, if the row has them: what is left is slow. */
INLINE int32_t filled(int64_t count, int64_t end) { return (int32_t)least(pieces(count, VECTOR) * VECTOR, end); }

/* p = softmax over keys j ≤ i of p − slope·(i − j), 0 for later keys; queries begin ... end − 1 of [queries, end]. */
INLINE void causal_softmax(float *p, int64_t begin, int64_t end, float slope) {
  for (int64_t i = begin; i < end; i++, p += end) {
    const int32_t seen = (int32_t)i + 1, count = filled(seen, end);
    for (int64_t j = seen; j < end; j++) p[j] = -INFINITY;
    float largest = -INFINITY, sum = 0;
    SIMD_LARGEST(largest)
    for (int32_t j = 0; j < count; j++) {
      const float biased = p[j] - slope * (float)(seen - 1 - j);
      p[j] = biased;
      largest = biased > largest ? biased : largest;
    }
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < count; j++) {
      p[j] = exponential(p[j] - largest);
      sum += p[j];
    }
    const float factor = 1 / sum;
#pragma omp simd
    for (int32_t j = 0; j < count; j++) p[j] *= factor;
    for (int64_t j = count; j < end; j++) p[j] = 0;
  }
}

/* dS = P ∘ (dP − Σ P ∘ dP) in every row, over dP; 0 for later keys, of which dP may be anything. */
INLINE void causal_softmax_gradient(const float *p, float *dp, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++, p += end, dp += end) {
    const int32_t count = filled(i + 1, end);
    for (int64_t j = i + 1; j < end; j++) dp[j] = 0;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < count; j++) sum += p[j] * dp[j];
#pragma omp simd
    for (int32_t j = 0; j < count; j++) dp[j] = p[j] * (dp[j] - sum);
  }
}

/*
 * out = P·v, P = softmax over keys j ≤ i of scale · q·k − slope·(i − j).
 * at: q, k, v [N, C], slopes [H], out [N, C], P, scores like P or null (scale · q·k), room; size: B, T, H, D; scalar: scale
 */
static void attention(const Call *call, Team team) {
  const Heads h = heads_of(call);
  const Room room = room_of(&h, call->at[7], team);
  const float *q = call->at[0], *k = call->at[1], *v = call->at[2], *slopes = call->at[3];
  float *out = call->at[4], *p = call->at[5], *scores = call->at[6];
  const Range units = part_of(h.sequences * h.heads, 1, team);
  for (int64_t unit = units.begin; unit < units.end; unit++) {
    const int64_t head = unit % h.heads, place = unit / h.heads * h.t * h.c + head * h.d;
    float *weights = p + unit * h.weights;
    copy_b(k + place, h.c, 1, h.d, h.t, call->scalar[0], room.first);
    copy_b(v + place, h.c, 0, h.t, h.d, 1, room.second);
    for (int64_t begin = 0; begin < h.t; begin += BLOCK) {
      const int64_t end = least(begin + BLOCK, h.t), queries = end - begin, from = place + begin * h.c;
      multiply_by_panels((Matrix){q + from, h.c, 0}, room.first, h.d * WIDE, queries, h.d, end, 0, weights, end, room.edge,
                         UNREAD_ABOVE, begin);
      if (scores) memcpy(scores + (weights - p), weights, sizeof(float) * queries * end);
      causal_softmax(weights, begin, end, slopes[head]);
      multiply_by_panels((Matrix){weights, end, 0}, room.second, h.t * WIDE, queries, end, h.d, 0, out + from, h.c, room.edge,
                         ZERO_ABOVE, begin);
      weights += queries * end;
    }
  }
}

/*
 * dS = P ∘ (dP − Σ P ∘ dP) with dP = dOut·vᵀ; dq = scale · dS·k, dk = scale · dSᵀ·q, dv = Pᵀ·dOut. dq, dk and dv take the
 * places of q, k and v. The last block is first: it has all keys, and the others are added to it.
 * at: q, k, v, dOut [N, C], P, room; size: B, T, H, D; scalar: scale
 */
static void attention_gradient(const Call *call, Team team) {
  const Heads h = heads_of(call);
  const Room room = room_of(&h, call->at[5], team);
  float *q = call->at[0], *k = call->at[1], *v = call->at[2];
  const float *d_out = call->at[3], *p = call->at[4], scale = call->scalar[0];
  const Range units = part_of(h.sequences * h.heads, 1, team);
  for (int64_t unit = units.begin; unit < units.end; unit++) {
    const int64_t place = unit / h.heads * h.t * h.c + unit % h.heads * h.d;
    const float *weights = p + (unit + 1) * h.weights;
    float *dk = k + place, *dv = v + place;
    copy_b(v + place, h.c, 1, h.d, h.t, 1, room.first);
    copy_b(k + place, h.c, 0, h.t, h.d, scale, room.second);
    for (int64_t begin = (h.t - 1) / BLOCK * BLOCK; begin >= 0; begin -= BLOCK) {
      const int64_t end = least(begin + BLOCK, h.t), queries = end - begin, from = place + begin * h.c;
      const float *sum_k = end == h.t ? 0 : dk, *sum_v = end == h.t ? 0 : dv;
      weights -= queries * end;
      copy_b(d_out + from, h.c, 0, queries, h.d, 1, room.block);
      multiply_by_panels((Matrix){weights, end, 1}, room.block, queries * WIDE, end, queries, h.d, sum_v, dv, h.c, room.edge,
                         ZERO_BELOW, begin);
      multiply_by_panels((Matrix){d_out + from, h.c, 0}, room.first, h.d * WIDE, queries, h.d, end, 0, room.scores, end,
                         room.edge, UNREAD_ABOVE, begin);
      causal_softmax_gradient(weights, room.scores, begin, end);
      copy_b(q + from, h.c, 0, queries, h.d, scale, room.block);
      multiply_by_panels((Matrix){room.scores, end, 1}, room.block, queries * WIDE, end, queries, h.d, sum_k, dk, h.c,
                         room.edge, ZERO_BELOW, begin);
      multiply_by_panels((Matrix){room.scores, end, 0}, room.second, h.t * WIDE, queries, end, h.d, 0, q + from, h.c,
                         room.edge, ZERO_ABOVE, begin);
    }
  }
}
