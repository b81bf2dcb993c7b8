/* Replays a file of calibrant's test vectors on the operations of adapter.c: ./vectors loss.json */
#define main adapter_main
#include "adapter.c"
#undef main

/* Whether a number is within the allowed error of the one that is due, which was rounded to a decimal. */
static bool near(double x, Value *due, double allowed) {
    if (due->kind == NOTHING) return true;
    if (due->kind == NUMBER) return fabs(x - due->number) <= allowed + ldexp(fabs(due->number), -53);
    if (!strcmp(due->text, "not finite")) return !isfinite(x);
    return isnan(x) ? due->text[0] == 'N' : x == number(due);
}

static bool agrees_array(Array x, Value *due) {
    Value *shape = member(due, "shape"), *data = member(due, "data"), *allowed = member(due, "allowed");
    if (!shape) return true;
    bool same = shape->size == x.rank;
    int k = 0;
    for (Value *size = shape->first; same && size; size = size->next) same = x.shape[k++] == (int)size->number;
    if (!data) return same;
    bool single = x.size == 1 && (data->size == 1 || member(due, "broadcasts"));
    if (!single && !same) return false;
    Value *bound = allowed->first;
    int i = 0;
    for (Value *one = data->first; one; one = one->next, bound = bound->next, i++)
        if (!near(x.data[single ? 0 : i], one, bound->number)) return false;
    return true;
}

static bool agrees(const Operation *operation, Value *inputs, Value *due) {
    if (operation->one) return agrees_array(operation->one(inputs), due);
    List answer = operation->several(inputs);
    if (due->size != answer.size) return false;
    int k = 0;
    for (Value *part = due->first; part; part = part->next)
        if (!agrees_array(answer.parts[k++], part)) return false;
    return true;
}

static bool as_due(const Operation *operation, Value *one) {
    if (setjmp(refusal)) return member(one, "error");
    return agrees(operation, member(one, "inputs"), member(one, "expected")) && !member(one, "error");
}

static Value *cases(char *text) {
    at = text;
    if (setjmp(unreadable)) exit(2);
    return member(value(), "cases")->first;
}

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "r") : NULL;
    char *text = NULL;
    size_t length = 0;
    if (!file || getdelim(&text, &length, 0, file) < 0) return 2;
    int agreed = 0, wrong = 0, warned = 0, absent = 0;
    for (Value *one = cases(text); one; one = one->next) {
        const Operation *operation = named(member(one, "operation")->text);
        bool must = !strcmp(member(one, "level")->text, "MUST");
        if (!operation) absent++;
        else if (as_due(operation, one)) agreed++;
        else {
            *(must ? &wrong : &warned) += 1;
            printf("%s: %s\n", must ? "disagrees" : "warns", member(one, "id")->text);
        }
    }
    printf("%d agrees, %d disagrees, %d warns, %d absent\n", agreed, wrong, warned, absent);
    return wrong > 0;
}
