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
    Index values;               // of the body: the given ones, count, scale, constants, lines
    Index constants;            // how many
    Index lines;                // how many
    const Line *line;
    Index results;              // how many numbers a kernel takes
    const int *result;          // which values they are
    double *value;              // of one group at a time; constants are there already
    int *set;                   // result: which numbers each row takes
    double *numbers;            // result
};
LAYOUT(Numbers, AT(Numbers, rows), AT(Numbers, group), AT(Numbers, counters), AT(Numbers, wide),
       AT(Numbers, settings), AT(Numbers, given), AT(Numbers, values), AT(Numbers, constants),
       AT(Numbers, lines), AT(Numbers, line), AT(Numbers, results), AT(Numbers, result),
       AT(Numbers, value), AT(Numbers, set), AT(Numbers, numbers))

enum Operation { ADD, SUB, MUL, DIV, POW, NEG, ABS, LT, LE, GT, GE, EQ, NE };

static double computed(int operation, double x, double y) {
    switch (operation) {
        case ADD: return x + y;
        case SUB: return x - y;
        case MUL: return x * y;
        case DIV: return x / y;
        case POW: return __builtin_pow(x, y);
        case NEG: return -x;
        case ABS: return __builtin_fabs(x);
        case LT: return x < y;
        case LE: return x <= y;
        case GT: return x > y;
        case GE: return x >= y;
        case EQ: return x == y;
        default: return x != y;
    }
}

static bool is_finite(double x) { return __builtin_fabs(x) < __builtin_inf(); }

// Returns whether the body goes the way that was recorded, with finite numbers.
static bool evaluate(const Numbers &n, Index group, double count, double *results) {
    for (Index i = 0; i < n.given; i++) n.value[i] = n.settings[group * n.given + i];
    n.value[n.given] = count;
    double *line = n.value + n.values - n.lines;
    for (Index i = 0; i < n.lines; i++) {
        const Line &l = n.line[i];
        line[i] = computed(l.operation, n.value[l.left], n.value[l.right]);
        if (l.operation >= LT ? line[i] != l.outcome : !is_finite(line[i])) return false;
    }
    for (Index i = 0; i < n.results; i++) {
        results[i] = n.value[n.result[i]];
        if (!is_finite(results[i])) return false;
    }
    return true;
}

static double count_of(const Numbers &n, Index r) {
    return n.wide ? *(double *)n.counters[r] : *(float *)n.counters[r];
}

// Computes the numbers of the step to come, for each run of rows of one group and count; returns
// how many sets there are, or 0 where the body would go another way in one of them.
extern "C" Index compute(const Numbers *n) {
    Index set = -1;
    double count = 0, last = 0;
    for (Index r = 0; r < n->rows; r++) {
        count = count_of(*n, r) + 1;
        if (!r || count != last || n->group[r] != n->group[r - 1])
            if (!evaluate(*n, n->group[r], count, n->numbers + ++set * n->results)) return 0;
        n->set[r] = set;
        last = count;
    }
    return set + 1;
}

// Writes each row's count of steps, once it has advanced, and returns whether all are the same.
extern "C" int next_counts(void *const *counters, Index rows, Index wide, double *counts) {
    bool same = true;
    for (Index r = 0; r < rows; r++) {
        counts[r] = (wide ? *(double *)counters[r] : *(float *)counters[r]) + 1;
        same = same && counts[r] == counts[0];
    }
    return same;
}

// Adds one to each row's count of steps.
extern "C" void advance(void *const *counters, Index rows, Index wide) {
    for (Index r = 0; r < rows; r++) {
        if (wide) *(double *)counters[r] += 1;
        else *(float *)counters[r] += 1;
    }
}
