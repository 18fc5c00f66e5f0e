/* What reaches terminals and scripts. */
#include "desk.h"

static const char *escaped(const char *z, char *buf, size_t size, size_t *ret_columns)
{
    struct sbuf b;
    sbuf_init(&b, 1 << 16);
    *ret_columns = text_escape(&b, slice_of(z));
    snprintf(buf, size, "%s", sbuf_z(&b));
    sbuf_finish(&b);
    return buf;
}

static void terminals_get_no_control_bytes(void **state)
{
    char buf[200];
    size_t n;
    assert_string_equal(escaped("a\x1b[31mb\n\x7f", buf, sizeof buf, &n), "a\\x1b[31mb\\x0a\\x7f");
    assert_string_equal(escaped("\xc3\xa9t\xc3\xa9", buf, sizeof buf, &n), "\xc3\xa9t\xc3\xa9");
    assert_int_equal(n, 3);
    assert_string_equal(escaped("\xc2\x9b"
                                "31m",
                                buf, sizeof buf, &n),
                        "\\xc2\\x9b31m"); /* C1 CSI */
    assert_string_equal(escaped("\xff\xc3", buf, sizeof buf, &n), "\\xff\\xc3");
    assert_int_equal(n, 8);
    assert_string_equal(escaped("\xe2\x80\xae"
                                "x",
                                buf, sizeof buf, &n),
                        "\\xe2\\x80\\xaex"); /* right-to-left override */
    assert_string_equal(escaped("\xc0\x80\xed\xa0\x80", buf, sizeof buf, &n),
                        "\\xc0\\x80\\xed\\xa0\\x80");
}

static const struct column columns[] = {
    {"name", "NAME", COLUMN_TEXT},  {"n", "N", COLUMN_NUMBER},     {"q", "Q", COLUMN_QUANTITY},
    {"left", "LEFT", COLUMN_UNTIL}, {"list", "LIST", COLUMN_LIST}, {NULL, NULL, COLUMN_TEXT}};

static cJSON *rows(void)
{
    return cJSON_Parse("[{\"name\":\"a\",\"n\":1,\"q\":1500,\"left\":160,\"list\":[\"x\",\"y\"]},"
                       "{\"name\":\"long\\u001bname\",\"n\":12.5,\"q\":0,\"left\":0,\"list\":[{"
                       "\"p\":\"g\",\"w\":2}]},{\"left\":10}]");
}

static void tables_are_aligned(void **state)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    cJSON *r = rows();
    table_print(f, columns, r, 100);
    fclose(f);
    assert_string_equal(text, "NAME             N     Q  LEFT  LIST\n"
                              "a                1  1.5K  1m    x,y\n"
                              "long\\x1bname  12.5     -  -     g=2\n"
                              "-                -     -  over  -\n");
    free(text);
    cJSON_Delete(r);
}

static void json_is_ascii_and_reads_back(void **state)
{
    cJSON *o = json_object(), *list = json_array();
    struct sbuf b;
    json_z(o, "t", "\xc3\xa9\x1b\"\\\xff\xf0\x9f\x98\x80");
    json_int(o, "big", 1795387127123);
    json_real(o, "half", 0.5);
    json_z(o, "none", NULL);
    json_flag(o, "yes", true);
    json_add(o, "empty", json_object());
    json_push(list, cJSON_CreateNumber(-3));
    json_push(list, json_array());
    json_add(o, "list", list);
    sbuf_init(&b, 1 << 16);
    json_compact(&b, o);
    assert_string_equal(
        sbuf_z(&b),
        "{\"t\":\"\\u00e9\\u001b\\\"\\\\\\ufffd\\ud83d\\ude00\",\"big\":1795387127123,\"half\":0.5,"
        "\"none\":null,\"yes\":true,\"empty\":{},\"list\":[-3,[]]}");
    cJSON *again = cJSON_Parse(sbuf_z(&b));
    assert_non_null(again);
    cJSON_Delete(again);
    sbuf_finish(&b);
    cJSON_Delete(o);
}

static void json_indents_by_two(void **state)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    cJSON *v = cJSON_Parse("[{\"a\":1,\"b\":[2]},{}]");
    json_print(f, v);
    fclose(f);
    assert_string_equal(text,
                        "[\n  {\n    \"a\": 1,\n    \"b\": [\n      2\n    ]\n  },\n  {}\n]\n");
    free(text);
    cJSON_Delete(v);
}

static void deep_json_from_elsewhere_ends(void **state)
{
    char text[2001];
    struct sbuf b;
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    text[2000] = '\0';
    cJSON *v = cJSON_Parse(text);
    sbuf_init(&b, 1 << 16);
    if (v)
        json_compact(&b, v);
    sbuf_finish(&b);
    cJSON_Delete(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminals_get_no_control_bytes), cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(json_is_ascii_and_reads_back),   cmocka_unit_test(json_indents_by_two),
        cmocka_unit_test(deep_json_from_elsewhere_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
