/* The mechanics of learning in C, called by calibrant: JSON-RPC 2.0, a message a line. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* JSON: a tree of values, all of which are forgotten when a line has been answered. */

typedef enum { NOTHING, BOOLEAN, NUMBER, STRING, LIST, OBJECT } Kind;

typedef struct Value {
    Kind kind;
    double number;
    char *text;             /* of a STRING */
    char *key;              /* of a member of an OBJECT */
    struct Value *first;    /* of a LIST or an OBJECT */
    struct Value *next;
    int size;
} Value;

static char *at;            /* where the line is being read */
static jmp_buf unreadable;

static struct Block { struct Block *next; } *blocks;

static void *room(size_t size) {
    struct Block *block = calloc(1, sizeof *block + size);
    if (!block) abort();
    block->next = blocks;
    blocks = block;
    return block + 1;
}

static void forget(void) {
    while (blocks) {
        struct Block *block = blocks;
        blocks = block->next;
        free(block);
    }
}

static void space(void) { while (isspace((unsigned char)*at)) at++; }

static void expect(char mark) {
    space();
    if (*at++ != mark) longjmp(unreadable, 1);
}

static char *string(void) {
    expect('"');
    char *text = room(strlen(at) + 1), *end = text;
    for (; *at != '"'; at++) {
        if (!*at) longjmp(unreadable, 1);
        if (*at == '\\' && !strchr("\"\\/u", *++at)) longjmp(unreadable, 1);  /* calibrant sends no others */
        *end++ = *at;  /* of an escaped character its number, in words that nothing here compares */
    }
    at++;
    return text;
}

static Value *value(void) {
    Value *it = room(sizeof *it);
    space();
    if (*at == '"') {
        it->kind = STRING;
        it->text = string();
    } else if (*at == '[' || *at == '{') {
        char close = *at == '[' ? ']' : '}';
        it->kind = *at++ == '[' ? LIST : OBJECT;
        Value **end = &it->first;
        for (space(); *at != close; space()) {
            char *key = NULL;
            if (it->size++) expect(',');
            if (it->kind == OBJECT) { space(); key = string(); expect(':'); }
            *end = value();
            (*end)->key = key;
            end = &(*end)->next;
        }
        at++;
    } else if (!strncmp(at, "true", 4) || !strncmp(at, "null", 4)) {
        it->kind = *at == 't' ? BOOLEAN : NOTHING;
        it->number = *at == 't';
        at += 4;
    } else if (!strncmp(at, "false", 5)) {
        it->kind = BOOLEAN;
        at += 5;
    } else {
        char *end;
        it->kind = NUMBER;
        it->number = strtod(at, &end);
        if (end == at) longjmp(unreadable, 1);
        at = end;
    }
    return it;
}

static Value *member(Value *object, const char *key) {
    Value *it = object ? object->first : NULL;
    while (it && (!it->key || strcmp(it->key, key))) it = it->next;
    return it;
}

/* Arrays: doubles, each rounded to its dtype; what is computed between two roundings is computed in float64. */

typedef struct { bool narrow; int rank, shape[32], size; double *data; } Array;

static jmp_buf refusal;
static char sentence[200];
static int code;

static void refuse(const char *format, ...) {
    code = -32000;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    longjmp(refusal, 1);
}

static double rounded(Array like, double x) { return like.narrow ? (double)(float)x : x; }

static double number(Value *it) {
    if (it->kind != STRING) return it->number;
    return it->text[0] == 'N' ? NAN : it->text[0] == '-' ? -INFINITY : INFINITY;
}

static Array array(Value *params, const char *name) {
    Value *it = member(params, name);
    Array x = {0};
    if (!it || it->kind != OBJECT) refuse("%s is missing", name);
    x.narrow = !strcmp(member(it, "dtype")->text, "float32");
    for (Value *axis = member(it, "shape")->first; axis; axis = axis->next) x.shape[x.rank++] = (int)axis->number;
    x.size = member(it, "data")->size;
    x.data = room((size_t)x.size * sizeof *x.data);
    int i = 0;
    for (Value *one = member(it, "data")->first; one; one = one->next) x.data[i++] = number(one);
    return x;
}

static Array shaped(Array like, int rank, int size) {
    Array x = {like.narrow, rank, {size}, size, room((size_t)size * sizeof *x.data)};
    return x;
}

static Array copied(Array like) {
    Array x = like;
    x.data = room((size_t)x.size * sizeof *x.data);
    memcpy(x.data, like.data, (size_t)x.size * sizeof *x.data);
    return x;
}

static void require_same_shape(Array t_p, Array t_c) {
    bool same = t_p.rank == t_c.rank && !memcmp(t_p.shape, t_c.shape, (size_t)t_p.rank * sizeof *t_p.shape);
    if (!same || !t_p.size) refuse("t_p has %d numbers and t_c %d: a loss needs samples of one shape", t_p.size, t_c.size);
}

/* The operations. */

static Array model(Value *params) {
    Array t_u = array(params, "t_u"), w = array(params, "w"), b = array(params, "b"), t_p = copied(t_u);
    for (int i = 0; i < t_u.size; i++) t_p.data[i] = rounded(t_u, rounded(t_u, *w.data * t_u.data[i]) + *b.data);
    return t_p;
}

static double square(double x) { return x * x; }

/* Divided before the sum, so that only the mean needs to fit the dtype. */
static Array mean_of(Value *params, double (*of)(double)) {
    Array t_p = array(params, "t_p"), t_c = array(params, "t_c"), loss = shaped(t_p, 0, 1);
    require_same_shape(t_p, t_c);
    for (int i = 0; i < t_p.size; i++) *loss.data += of(t_p.data[i] - t_c.data[i]) / t_p.size;
    *loss.data = rounded(t_p, *loss.data);
    return loss;
}

static Array loss_fn(Value *params) { return mean_of(params, square); }
static Array absolute_loss(Value *params) { return mean_of(params, fabs); }

static Array dloss_fn(Value *params) {
    Array t_p = array(params, "t_p"), t_c = array(params, "t_c"), dloss = copied(t_p);
    require_same_shape(t_p, t_c);
    for (int i = 0; i < t_p.size; i++) dloss.data[i] = rounded(t_p, 2 * (t_p.data[i] - t_c.data[i]) / t_p.size);
    return dloss;
}

static Array dmodel_dw(Value *params) { return array(params, "t_u"); }

static Array dmodel_db(Value *params) {
    Array ones = array(params, "t_u");
    for (int i = 0; i < ones.size; i++) ones.data[i] = 1;
    return ones;
}

static Array grad_fn(Value *params) {
    Array t_u = array(params, "t_u"), dloss = dloss_fn(params), grad = shaped(t_u, 1, 2);
    for (int i = 0; i < t_u.size; i++) {
        grad.data[0] += dloss.data[i] * t_u.data[i];
        grad.data[1] += dloss.data[i];
    }
    for (int k = 0; k < 2; k++) grad.data[k] = rounded(t_u, grad.data[k]);
    return grad;
}

/* Automatic differentiation: a tape of numbers, each with two operands and the derivative by each of them. */

typedef struct { double value, grad; int x, y; double by_x, by_y; } Node;
typedef struct { int size, *nodes; bool is_column; } Column;

static Node *tape;
static int used;

static int node(Array like, double value, int x, double by_x, int y, double by_y) {
    tape[used] = (Node){rounded(like, value), 0, x, y, by_x, by_y};
    return used++;
}

/* Node 0 stands for no operand. */
static int made(Array like, const char *name, int left, int right) {
    double x = tape[left].value, y = tape[right].value;
    if (!strcmp(name, "+")) return node(like, x + y, left, 1, right, 1);
    if (!strcmp(name, "-")) return node(like, x - y, left, 1, right, -1);
    if (!strcmp(name, "*")) return node(like, x * y, left, y, right, x);
    if (!strcmp(name, "/")) return node(like, x / y, left, 1 / y, right, -x / (y * y));
    if (!strcmp(name, "**")) return node(like, pow(x, y), left, y * pow(x, y - 1), right, pow(x, y) * log(x));
    if (!strcmp(name, "exp")) return node(like, exp(x), left, exp(x), 0, 0);
    if (!strcmp(name, "log")) return node(like, log(x), left, 1 / x, 0, 0);
    if (!strcmp(name, "tanh")) return node(like, tanh(x), left, 1 - square(tanh(x)), 0, 0);
    if (!strcmp(name, "maximum")) return node(like, fmax(x, y), left, x > y, right, x <= y);
    snprintf(sentence, sizeof sentence, "there is no instruction %.20s", name);
    code = -32601;
    longjmp(refusal, 1);
}

static Column column(int size, bool is_column) {
    return (Column){size, room((size_t)size * sizeof(int)), is_column};
}

static Column single(int node) {
    Column x = column(1, false);
    *x.nodes = node;
    return x;
}

/* Runs a straight-line program, and returns its values; the first one is the column of parameters. */
static Column *record(Value *instructions, Array params) {
    Column *values = room(((size_t)instructions->size + 1) * sizeof *values), *end = values;
    tape = room(((size_t)instructions->size + 2) * ((size_t)params.size + 1) * sizeof *tape);
    used = 1;
    *end = column(params.size, true);
    for (int i = 0; i < params.size; i++) end->nodes[i] = node(params, params.data[i], 0, 0, 0, 0);
    for (Value *one = instructions->first; one; one = one->next) {
        const char *name = one->first->text;
        Value *operand = one->first->next;
        bool sum = !strcmp(name, "sum"), mean = !strcmp(name, "mean");
        *++end = single(0);
        if (!strcmp(name, "constant")) {
            *end->nodes = node(params, number(operand), 0, 0, 0, 0);
            continue;
        }
        Column x = values[(int)operand->number], y = *end;
        if (!strcmp(name, "index")) {
            *end->nodes = x.nodes[(int)operand->next->number];
        } else if (sum || mean) {
            *end->nodes = x.nodes[0];
            for (int i = 1; i < x.size; i++) *end->nodes = made(params, "+", *end->nodes, x.nodes[i]);
            if (mean) *end->nodes = made(params, "/", *end->nodes, node(params, x.size, 0, 0, 0, 0));
        } else {
            if (operand->next) y = values[(int)operand->next->number];
            *end = column(x.size > y.size ? x.size : y.size, x.is_column || y.is_column);
            for (int i = 0; i < end->size; i++)
                end->nodes[i] = made(params, name, x.nodes[x.is_column ? i : 0], y.nodes[y.is_column ? i : 0]);
        }
    }
    return values;
}

static Array walk(Array params, int end) {
    Array grad = copied(params);
    for (int k = 0; k < used; k++) tape[k].grad = 0;
    tape[end].grad = 1;
    for (int k = end; k > 0; k--) {
        Node *it = tape + k;
        tape[it->x].grad = rounded(params, tape[it->x].grad + rounded(params, it->grad * it->by_x));
        tape[it->y].grad = rounded(params, tape[it->y].grad + rounded(params, it->grad * it->by_y));
    }
    for (int i = 0; i < grad.size; i++) grad.data[i] = tape[i + 1].grad;
    return grad;
}

typedef struct { int size; Array *parts; } List;

static List list(int size) { return (List){size, room((size_t)size * sizeof(Array))}; }

static List automatic_gradient(Value *params) {
    Array place = array(params, "params");
    Value *loss = member(params, "loss");
    int end = *record(member(loss, "instructions"), place)[(int)member(loss, "result")->number].nodes;
    List answer = list(2);
    answer.parts[0] = shaped(place, 0, 1);
    *answer.parts[0].data = tape[end].value;
    answer.parts[1] = walk(place, end);
    return answer;
}

static List backward_shared(Value *params) {
    Array place = array(params, "params");
    Value *losses = member(params, "losses"), *order = member(params, "order");
    Column *values = record(member(losses, "instructions"), place);
    List answer = list(order->size);
    int pass = 0;
    for (Value *which = order->first; which; which = which->next, pass++) {
        Value *result = member(losses, "result")->first;
        for (int k = (int)which->number; k > 0; k--) result = result->next;
        answer.parts[pass] = walk(place, *values[(int)result->number].nodes);
        for (int i = 0; pass && i < place.size; i++)
            answer.parts[pass].data[i] = rounded(place, answer.parts[pass].data[i] + answer.parts[pass - 1].data[i]);
    }
    return answer;
}

typedef struct { const char *name; Array (*one)(Value *); List (*several)(Value *); } Operation;

static const Operation operations[] = {
    {"model", model, NULL},
    {"loss_fn", loss_fn, NULL},
    {"absolute_loss", absolute_loss, NULL},
    {"dloss_fn", dloss_fn, NULL},
    {"dmodel_dw", dmodel_dw, NULL},
    {"dmodel_db", dmodel_db, NULL},
    {"grad_fn", grad_fn, NULL},
    {"automatic_gradient", NULL, automatic_gradient},
    {"backward_shared", NULL, backward_shared},
};
enum { COUNT = sizeof operations / sizeof *operations };

static const Operation *named(const char *name) {
    for (int k = 0; k < COUNT; k++)
        if (!strcmp(operations[k].name, name)) return operations + k;
    return NULL;
}

/* The protocol. */

static void print_array(Array x) {
    printf("{\"dtype\":\"%s\",\"shape\":[", x.narrow ? "float32" : "float64");
    for (int k = 0; k < x.rank; k++) printf("%s%d", k ? "," : "", x.shape[k]);
    printf("],\"data\":[");
    for (int i = 0; i < x.size; i++) {
        double one = x.data[i];
        if (isfinite(one)) printf("%s%.17g", i ? "," : "", one);
        else printf("%s\"%s\"", i ? "," : "", isnan(one) ? "NaN" : one > 0 ? "Infinity" : "-Infinity");
    }
    printf("]}");
}

static void answer(Value *request) {
    Value *method = member(request, "method"), *id = member(request, "id");
    if (!method || !id) longjmp(unreadable, 1);
    printf("{\"jsonrpc\":\"2.0\",\"id\":%.0f,", id->number);
    if (!strcmp(method->text, "initialize")) {
        printf("\"result\":{\"name\":\"plain C\",\"language\":\"C\",\"functions\":\"straight-line\",\"operations\":[");
        for (int k = 0; k < COUNT; k++) printf("%s\"%s\"", k ? "," : "", operations[k].name);
        printf("]}}");
        return;
    }
    const Operation *operation = named(method->text);
    if (!operation) {
        printf("\"error\":{\"code\":-32601,\"message\":\"there is no such operation\"}}");
    } else if (setjmp(refusal)) {
        printf("\"error\":{\"code\":%d,\"message\":\"%s\"}}", code, sentence);
    } else if (operation->one) {
        Array result = operation->one(member(request, "params"));
        printf("\"result\":");
        print_array(result);
        printf("}");
    } else {
        List results = operation->several(member(request, "params"));
        printf("\"result\":[");
        for (int k = 0; k < results.size; k++) {
            if (k) printf(",");
            print_array(results.parts[k]);
        }
        printf("]}");
    }
}

int main(void) {
    char *line = NULL;
    size_t length = 0;
    while (getline(&line, &length, stdin) >= 0) {
        at = line;
        if (setjmp(unreadable)) {
            printf("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"not read from: %.20s\"}}", at);
        } else {
            answer(value());
        }
        putchar('\n');
        fflush(stdout);
        forget();
    }
    free(line);
    return 0;
}
