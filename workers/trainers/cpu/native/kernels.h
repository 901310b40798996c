/* Every kernel, for one kind of processor: VECTOR numbers to a register, ROWS rows to a tile of a product, TABLE its list. */
#include "vectors.h"
#include "product.h"
#include "attention.h"
#include "norm.h"
#include "swiglu.h"
#include "embedding.h"
#include "sparse.h"
#include "optimizer.h"
#include "peak.h"

#define KERNEL(name) {#name, name}
const NamedKernel TABLE[] = {
    KERNEL(product),
    KERNEL(attention),
    KERNEL(attention_gradient),
    KERNEL(rms_norm),
    KERNEL(rms_norm_gradient),
    KERNEL(layer_norm),
    KERNEL(layer_norm_gradient),
    KERNEL(column_sums),
    KERNEL(swiglu),
    KERNEL(swiglu_gradient),
    KERNEL(add),
    KERNEL(embed),
    KERNEL(embed_gradient),
    KERNEL(zero),
    KERNEL(cross_entropy),
    KERNEL(to_panels),
    KERNEL(from_panels),
    KERNEL(sparse_product),
    KERNEL(sparse_gradient),
    KERNEL(pick),
    KERNEL(sum_of_squares),
    KERNEL(clip),
    KERNEL(adamw),
    KERNEL(fused_multiply_adds),
    {0, 0},
};
