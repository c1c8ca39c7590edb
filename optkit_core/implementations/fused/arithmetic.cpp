// What every fused kernel begins with: elements as they lie in memory, the arithmetic of torch's
// operations, and what Python gives it to work on.
typedef long long Index;

struct bfloat16 { unsigned short bits; };
struct float16 { unsigned short bits; };

static inline float of_bits(unsigned bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
static inline unsigned bits_of(float x) { unsigned bits; __builtin_memcpy(&bits, &x, 4); return bits; }

static inline float get(float x) { return x; }
static inline double get(double x) { return x; }
// bfloat16 is the upper half of a float32.
static inline float get(bfloat16 x) { return of_bits((unsigned)x.bits << 16); }
// float16 has 5 bits of exponent above 10 of mantissa, biased by 15; float32 has 8 above 23, biased
// by 127. Shifted by 13 the mantissas agree, and the exponent lacks 112, which is 0x38 << 24; that
// of an infinity or NaN, all ones, lacks it twice. A denormal number is a multiple of 2^-24: with
// the exponent of 2^-14 put before it, it is that much too large. Its value is a normal float32,
// and no step here has a denormal one, which a thread may be set to take for zero.
static inline float get(float16 x) {
    unsigned magnitude = ((unsigned)x.bits & 0x7fffu) << 13;
    unsigned normal = magnitude + (magnitude < 0x0f800000u ? 0x38000000u : 0x70000000u);
    unsigned tiny = bits_of(of_bits(magnitude + 0x38800000u) - 0x1p-14f);
    unsigned bits = magnitude < 0x00800000u ? tiny : normal;
    return of_bits(bits | ((unsigned)x.bits & 0x8000u) << 16);
}

static inline void put(float &to, float x) { to = x; }
static inline void put(float &to, double x) { to = (float)x; }
static inline void put(double &to, double x) { to = x; }
// To the nearest, and of two as near to the even one: half a unit less one is added, and one more
// where the last bit that stays is set. A carry moves on into the exponent, up to infinity; a NaN
// could become one too, so that it is set apart.
static inline void put(bfloat16 &to, float x) {
    unsigned bits = bits_of(x);
    unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    to.bits = (unsigned short)(x != x ? 0x7fc0u : rounded);
}
// Likewise. A result that is denormal in float16 is rounded by an addition: next to 0.5 a unit in
// the last place is 2^-24, that of denormal numbers. From 65536 on, which is 0x478 << 20, there is
// infinity; what lies between it and the largest number, 65504, is carried there or rounded down.
static inline void put(float16 &to, float x) {
    unsigned bits = bits_of(x), magnitude = bits & 0x7fffffffu;
    unsigned special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    unsigned tiny = bits_of(of_bits(magnitude) + 0.5f) - 0x3f000000u;
    unsigned normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    unsigned half = magnitude < 0x38800000u ? tiny : normal;
    half = magnitude >= 0x47800000u ? special : half;
    to.bits = (unsigned short)(half | (bits >> 16 & 0x8000u));
}
// From double by way of float, as torch converts: rounded twice.
static inline void put(bfloat16 &to, double x) { put(to, (float)x); }
static inline void put(float16 &to, double x) { put(to, (float)x); }

#define BOTH(name, builtin) \
    static inline float name(float x) { return builtin##f(x); } \
    static inline double name(double x) { return builtin(x); }
#define BOTH2(name, builtin) \
    static inline float name(float x, float y) { return builtin##f(x, y); } \
    static inline double name(double x, double y) { return builtin(x, y); }
BOTH(absolute, __builtin_fabs)
BOTH(square_root, __builtin_sqrt)
BOTH(exponential, __builtin_exp)
BOTH(exponential2, __builtin_exp2)
BOTH(exponential_m1, __builtin_expm1)
BOTH(logarithm, __builtin_log)
BOTH(logarithm2, __builtin_log2)
BOTH(logarithm10, __builtin_log10)
BOTH(logarithm_1p, __builtin_log1p)
BOTH(sine, __builtin_sin)
BOTH(cosine, __builtin_cos)
BOTH(hyperbolic_tangent, __builtin_tanh)
BOTH(arc_tangent, __builtin_atan)
BOTH(error_function, __builtin_erf)
BOTH(round_down, __builtin_floor)
BOTH(round_up, __builtin_ceil)
BOTH(cut_off, __builtin_trunc)
BOTH(round_to_even, __builtin_rint)
BOTH2(arc_tangent2, __builtin_atan2)
BOTH2(power, __builtin_pow)
BOTH2(with_sign, __builtin_copysign)
BOTH2(hypotenuse, __builtin_hypot)

// torch's vector code multiplies and adds with one rounding where the processor can.
#if defined(__FMA__) || defined(__aarch64__)
static inline float multiply_add(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double multiply_add(double x, double y, double z) { return __builtin_fma(x, y, z); }
#else
static inline float multiply_add(float x, float y, float z) { return x * y + z; }
static inline double multiply_add(double x, double y, double z) { return x * y + z; }
#endif

#define LIMITS(T) \
    static inline T plus(T x, T y) { return x + y; } \
    /* As in torch a NaN on either side is the result: where y is one, no comparison holds. */ \
    static inline T larger(T x, T y) { return x > y || x != x ? x : y; } \
    static inline T smaller(T x, T y) { return x < y || x != x ? x : y; } \
    static inline T at_least(T x, T bound) { return x < bound || bound != bound ? bound : x; } \
    static inline T at_most(T x, T bound) { return x > bound || bound != bound ? bound : x; } \
    /* From the end that is nearer, as in torch: a weight of 1 gives exactly the end. */ \
    static inline T interpolated(T x, T end, T weight) { \
        bool near = absolute(weight) < T(0.5); \
        return multiply_add(near ? weight : weight - T(1), end - x, near ? x : end); \
    }
LIMITS(float)
LIMITS(double)

struct Job {
    Index rows;             // parameters in the bucket
    const Index *ends;      // elements up to the end of each
    void *const *memory;    // where each row of each operand begins, operand by operand
    const int *set;         // which set of numbers each row takes
    const double *numbers;  // the sets, one after another
    Index threads;
    const Index *matrices;  // of each row batch, rows and columns, where that matters
    char *scratch;          // where reductions are kept, if there are any
};
LAYOUT(Job, AT(Job, rows), AT(Job, ends), AT(Job, memory), AT(Job, set), AT(Job, numbers),
       AT(Job, threads), AT(Job, matrices), AT(Job, scratch))

static Index start_of(const Job &job, Index r) { return r ? job.ends[r - 1] : 0; }

// The OpenMP runtime that torch has loaded, and its threads; weak, so that a process without one
// can load the library too, and use one thread. The library itself is linked to none: two of them
// in one process would have twice the threads.
extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
__attribute__((weak)) int omp_get_thread_num(void);
__attribute__((weak)) int omp_get_num_threads(void);
}

static bool has_threads(const Job &job) {
    return job.threads > 1 && GOMP_parallel && omp_get_thread_num && omp_get_num_threads;
}
