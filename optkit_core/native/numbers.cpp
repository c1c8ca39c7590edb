// The numbers of an update body, from hyperparameters and counts of steps: what Python computes
// while it runs the body, for many groups at once and with the same operations in double.
struct Line {
    int operation, left, right;  // operands are the numbers of values
    int outcome;                 // of a comparison: what it was when the body was recorded
};
LAYOUT(Line, AT(Line, operation), AT(Line, left), AT(Line, right), AT(Line, outcome))

struct Numbers {
    Index rows;
    const int *group;           // of each row
    void *const *counters;      // each row's count of steps
    Index wide;                 // whether counts are float64, not float32
    const double *settings;     // the hyperparameters of one group after another
    Index given;                // how many there are of each group
    Index scalars;              // how many scalar buffers each row has
    void *const *scalar;        // where they lie: the first of each row, the second of each row
    const int *is_wide;         // of each scalar buffer, whether it is float64, not float32
    Index values;               // of the body: given, count, scalars, scale, constants, lines
    Index constants;            // how many
    Index lines;                // how many
    const Line *line;
    Index results;              // how many numbers a kernel takes
    const int *result;          // which values they are
    Index updates;              // how many scalar buffers the body assigns
    const int *updated;         // which of them
    const int *update;          // which values they get
    double *value;              // of one group at a time; constants are there already
    int *set;                   // result: which numbers each row takes
    double *numbers;            // result
    double *assigned;           // result: what the scalar buffers become, set by set
};
LAYOUT(Numbers, AT(Numbers, rows), AT(Numbers, group), AT(Numbers, counters), AT(Numbers, wide),
       AT(Numbers, settings), AT(Numbers, given), AT(Numbers, scalars), AT(Numbers, scalar),
       AT(Numbers, is_wide), AT(Numbers, values), AT(Numbers, constants), AT(Numbers, lines),
       AT(Numbers, line), AT(Numbers, results), AT(Numbers, result), AT(Numbers, updates),
       AT(Numbers, updated), AT(Numbers, update), AT(Numbers, value), AT(Numbers, set),
       AT(Numbers, numbers), AT(Numbers, assigned))

enum Operation {
    ADD, SUB, MUL, DIV, POW, NEG, ABS, SQRT, EXP, LOG, MIN, MAX, FLOAT32, LT, LE, GT, GE, EQ, NE
};

static double computed(int operation, double x, double y) {
    switch (operation) {
        case ADD: return x + y;
        case SUB: return x - y;
        case MUL: return x * y;
        case DIV: return x / y;
        case POW: return __builtin_pow(x, y);
        case NEG: return -x;
        case ABS: return __builtin_fabs(x);
        case SQRT: return __builtin_sqrt(x);
        case EXP: return __builtin_exp(x);
        case LOG: return __builtin_log(x);
        case MIN: return y < x ? y : x;  // of equal ones the first, as Python has it
        case MAX: return y > x ? y : x;
        case FLOAT32: return (float)x;
        case LT: return x < y;
        case LE: return x <= y;
        case GT: return x > y;
        case GE: return x >= y;
        case EQ: return x == y;
        default: return x != y;
    }
}

static bool is_finite(double x) { return __builtin_fabs(x) < __builtin_inf(); }

static double number_at(const void *memory, bool wide) {
    return wide ? *(const double *)memory : *(const float *)memory;
}

static void put_number(void *memory, bool wide, double number) {
    if (wide) *(double *)memory = number;
    else *(float *)memory = number;
}

// Copies values, and returns whether all are finite.
static bool take(const Numbers &n, Index count, const int *index, double *results) {
    for (Index i = 0; i < count; i++) {
        results[i] = n.value[index[i]];
        if (!is_finite(results[i])) return false;
    }
    return true;
}

// Computes a set of numbers from the inputs among the values; returns whether the body goes the
// way that was recorded, with finite numbers.
static bool evaluate(const Numbers &n, Index set) {
    double *line = n.value + n.values - n.lines;
    for (Index i = 0; i < n.lines; i++) {
        const Line &l = n.line[i];
        line[i] = computed(l.operation, n.value[l.left], n.value[l.right]);
        if (l.operation >= LT ? line[i] != l.outcome : !is_finite(line[i])) return false;
    }
    return take(n, n.results, n.result, n.numbers + set * n.results) &&
           take(n, n.updates, n.update, n.assigned + set * n.updates);
}

// Reads an input of a row, and returns whether it isn't what it was.
static bool read_input(double *input, double number) {
    bool is_other = *input != number;
    *input = number;
    return is_other;
}

// Reads the inputs of a row, and returns whether one isn't what it was for the row before.
static bool read_row_inputs(const Numbers &n, Index r) {
    bool is_other = !r || n.group[r] != n.group[r - 1];
    if (is_other)
        for (Index i = 0; i < n.given; i++) n.value[i] = n.settings[n.group[r] * n.given + i];
    double *input = n.value + n.given;
    is_other |= read_input(input, number_at(n.counters[r], n.wide) + 1);
    for (Index k = 0; k < n.scalars; k++)
        is_other |= read_input(++input, number_at(n.scalar[k * n.rows + r], n.is_wide[k]));
    return is_other;
}

// Computes the numbers of the step to come, for each run of rows of one group, count and scalars;
// returns how many sets there are, or 0 where the body would go another way in one of them.
extern "C" Index compute(const Numbers *n) {
    Index set = -1;
    for (Index r = 0; r < n->rows; r++) {
        if (read_row_inputs(*n, r) && !evaluate(*n, ++set)) return 0;
        n->set[r] = set;
    }
    return set + 1;
}

// Writes the scalar buffers of each row that the body assigns.
extern "C" void assign(const Numbers *n) {
    for (Index u = 0; u < n->updates; u++) {
        Index k = n->updated[u];
        for (Index r = 0; r < n->rows; r++)
            put_number(n->scalar[k * n->rows + r], n->is_wide[k],
                       n->assigned[n->set[r] * n->updates + u]);
    }
}

// Writes each row's count of steps, once it has advanced, and returns whether all are the same.
extern "C" int next_counts(void *const *counters, Index rows, Index wide, double *counts) {
    bool same = true;
    for (Index r = 0; r < rows; r++) {
        counts[r] = number_at(counters[r], wide) + 1;
        same = same && counts[r] == counts[0];
    }
    return same;
}

// Adds one to each row's count of steps.
extern "C" void advance(void *const *counters, Index rows, Index wide) {
    for (Index r = 0; r < rows; r++)
        put_number(counters[r], wide, number_at(counters[r], wide) + 1);
}
