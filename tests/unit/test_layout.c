/* test_layout.c: layouts: text, values, known answers of every operation, what is refused. */
#include <string.h>

#include "core/layout.h"
#include "core/rng.h"
#include "tests/unit/run.h"

static pl_layout L(const char *text)
{
    pl_layout l;
    assert_ok(pl_layout_parse(text, &l));
    return l;
}

static pl_tiler T(const char *text)
{
    pl_tiler t;
    assert_ok(pl_tiler_parse(text, &t));
    return t;
}

static pl_composed C(const char *text)
{
    pl_composed c;
    assert_ok(pl_composed_parse(text, &c));
    return c;
}

static void prints(const pl_layout *l, const char *expected)
{
    char text[PL_LAYOUT_TEXT];
    assert_ok(pl_layout_check(l));
    ck_assert_str_eq(pl_layout_print(l, text), expected);
}

START_TEST(notation)
{
    static const char *const same[] = {
        "4:1", "(4):(1)", "((4)):((0))", "(4,(2,3)):(2,(1,8))", "((2,2),(2,3)):((4,1),(2,8))",
        "9223372036854775807:1", "(1,1):(9223372036854775807,5)",
        "((((((((((((((((2,2)))))))))))))))):((((((((((((((((1,2))))))))))))))))",
    };
    static const char *const other[][2] = {
        { " ( 4 , ( 2 , 3 ) ) : ( 2 , ( 1 , 8 ) ) ", "(4,(2,3)):(2,(1,8))" },
        { "(_4,(_2,_3)):(_2,(_1,_8))", "(4,(2,3)):(2,(1,8))" },
        { "(4,(2,3))", "(4,(2,3)):(1,(4,8))" }, { "7", "7:1" }, { "007:01", "7:1" },
    };
    static const char *const bad[][2] = {
        { "", "expected a number, found the end" }, { "(4", "expected ',' or ')', found the end" },
        { "()", "expected a number, found ')'" },
        { "(4,)", "expected a number" }, { "4)", "character 2: expected the end" }, { "4,5", "expected the end" },
        { "(4,5):(1)", "nested otherwise" }, { "(4,5):1", "nested otherwise" }, { "(4,5):((1,4))", "nested otherwise" },
        { "4:", "expected a number" }, { "-4:1", "expected a number, found '-4:1'" }, { "4:-1", "expected a number" },
        { "0:1", "at least 1, not 0" }, { "(2,0)", "at least 1" }, { "4:1:1", "expected the end" }, { "4x", "expected the end" },
        { "9223372036854775808:1", "passes 2^63" }, { "(4294967296,4294967296):(0,0)", "size of the layout passes" },
        { "2:9223372036854775807", "places of the layout pass" }, { "(3,3):(4611686018427387904,0)", "places" },
        { "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)", "more than 32" },
        { "(((((((((((((((((2)))))))))))))))))", "deeper than 16" }, { "h/2", "expected a number" },
        { "8N:1", "expected the end" },
        { "4/2:1", "expected the end" }, { "\x1b[31m", "expected a number" }, { "__4", "expected a number" },
    };
    pl_layout l = L("5:3");
    for (int i = 0; i < PL_COUNT(same); i++) {
        l = L(same[i]);
        prints(&l, same[i]);
    }
    for (int i = 0; i < PL_COUNT(other); i++) {
        l = L(other[i][0]);
        prints(&l, other[i][1]);
    }
    for (int i = 0; i < PL_COUNT(bad); i++) {
        l = L("5:3");
        assert_fails(pl_layout_parse(bad[i][0], &l), PL_E_INPUT, bad[i][1]);
        prints(&l, "5:3");
    }
    /* the longest text */
    char deep[PL_LAYOUT_TEXT];
    int64_t ones[PL_LAYOUT_MODES], strides[PL_LAYOUT_MODES];
    for (int i = 0; i < PL_LAYOUT_MODES; i++) {
        ones[i] = 1;
        strides[i] = INT64_MAX;
    }
    assert_ok(pl_layout_make(PL_LAYOUT_MODES, ones, strides, &l));
    for (int i = 0; i < PL_LAYOUT_MODES; i++) {
        l.shape.open[i] = (uint8_t)(l.shape.open[i] + 15);
        l.shape.close[i] = (uint8_t)(l.shape.close[i] + 15);
    }
    pl_layout again = L(pl_layout_print(&l, deep));
    ck_assert(pl_layout_same(&l, &again));
}
END_TEST

START_TEST(named_numbers)
{
    const pl_layout_name names[] = { { "K", 32 }, { "N", 128 }, { "h", 6 } };
    pl_layout l;
    assert_ok(pl_layout_parse_names("(((2,2,2),4,(4,8)),N/64,K/16):(((8N,8,N),16,(2N,1)),64,16N)", names, 3, &l));
    prints(&l, "(((2,2,2),4,(4,8)),2,2):(((1024,8,128),16,(256,1)),64,2048)");
    assert_ok(pl_layout_parse_names("(2,h/2):(h/2,1)", names, 3, &l));
    prints(&l, "(2,3):(3,1)");
    assert_fails(pl_layout_parse_names("h/4", names, 3, &l), PL_E_INPUT, "6 is no multiple of 4");
    assert_fails(pl_layout_parse_names("h/0", names, 3, &l), PL_E_INPUT, "6 is no multiple of 0");
    assert_fails(pl_layout_parse_names("9223372036854775807h", names, 3, &l), PL_E_INPUT, "passes 2^63");
    assert_fails(pl_layout_parse_names("hh", names, 3, &l), PL_E_INPUT, "known name, found 'hh'");
}
END_TEST

START_TEST(facts)
{
    static const struct { const char *text; int64_t size, cosize; int rank, depth; } cases[] = {
        { "4:1", 4, 4, 1, 0 }, { "(4):(1)", 4, 4, 1, 1 }, { "(4,(2,3)):(2,(1,8))", 24, 24, 2, 2 },
        { "(6,2):(8,2)", 12, 43, 2, 1 },
        { "((2,2),(2,3),5):((4,1),(2,8),0)", 120, 24, 3, 2 }, { "1:7", 1, 1, 1, 0 }, { "3:0", 3, 1, 1, 0 },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_layout l = L(cases[i].text);
        ck_assert_int_eq(pl_layout_size(&l), cases[i].size);
        ck_assert_int_eq(pl_layout_cosize(&l), cases[i].cosize);
        ck_assert_int_eq(pl_layout_rank(&l), cases[i].rank);
        ck_assert_int_eq(pl_layout_depth(&l), cases[i].depth);
    }
    pl_layout l = L("((2,2),(2,(3)),5):((4,1),(2,(8)),0)"), mode;
    pl_layout_mode(&l, 0, &mode);
    prints(&mode, "(2,2):(4,1)");
    pl_layout_mode(&l, 1, &mode);
    prints(&mode, "(2,(3)):(2,(8))");
    pl_layout_mode(&l, 2, &mode);
    prints(&mode, "5:0");
    /* built by hand */
    pl_layout broken = L("(4,2):(1,4)");
    broken.shape.close[1] = 0;
    assert_fails(pl_layout_check(&broken), PL_E_INPUT, "parentheses");
    broken = L("4:1");
    broken.shape.count = 33;
    assert_fails(pl_layout_check(&broken), PL_E_INPUT, "parentheses");
    broken = L("(4,2):(1,4)");
    broken.shape.open[0] = broken.shape.close[1] = 0;
    assert_fails(pl_layout_check(&broken), PL_E_INPUT, "parentheses");
    const int64_t numbers[] = { 4, -2 };
    assert_fails(pl_layout_make(2, numbers, numbers, &broken), PL_E_INPUT, "at least 1, not -2");
    assert_fails(pl_layout_make(1, numbers, numbers + 1, &broken), PL_E_INPUT, "at least 0, not -2");
    assert_fails(pl_layout_make(0, numbers, numbers, &broken), PL_E_INPUT, "1 to 32 modes, not 0");
}
END_TEST

START_TEST(values)
{
    static const struct { const char *text, *at; int64_t place; } good[] = {
        { "(4,(2,3)):(2,(1,8))", "17", 2 + 16 }, { "(4,(2,3)):(2,(1,8))", "(1,4)", 18 },
        { "(4,(2,3)):(2,(1,8))", "(1,(0,2))", 18 },
        { "((4),(2,3)):((2),(1,8))", "(1,(0,2))", 18 }, { "((4),(2,3)):((2),(1,8))", "((1),4)", 18 }, { "3:5", "2", 10 },
        { "((2,(2,2)),3):((1,(2,4)),8)", "((1,3),2)", 1 + 6 + 16 }, { "((2,(2,2)),3):((1,(2,4)),8)", "(7,2)", 23 },
    };
    static const struct { const char *text, *at, *why; } bad[] = {
        { "(4,(2,3)):(2,(1,8))", "24", "index 24 is not in 0..23" }, { "(4,(2,3)):(2,(1,8))", "(1,6)", "index 6 is not in 0..5" },
        { "(4,(2,3)):(2,(1,8))", "(1,(2,0))", "index 2 is not in 0..1" },
        { "(4,(2,3)):(2,(1,8))", "(1,0,0)", "nested otherwise" },
        { "(4,(2,3)):(2,(1,8))", "(1)", "nested otherwise" }, { "(4,(2,3)):(2,(1,8))", "((1),0)", "nested otherwise" },
        { "(4,(2,3)):(2,(1,8))", "(1,(0,2),0)", "nested otherwise" }, { "4:1", "(0)", "nested otherwise" },
        { "(4,2):(2,1)", "((1,0))", "nested otherwise" }, { "((4,2),3):((1,4),8)", "((1,0))", "nested otherwise" },
    };
    pl_tuple at;
    int64_t place = -1;
    for (int i = 0; i < PL_COUNT(good); i++) {
        pl_layout l = L(good[i].text);
        assert_ok(pl_tuple_parse(good[i].at, &at));
        assert_ok(pl_layout_eval_tuple(&l, &at, &place));
        ck_assert_int_eq(place, good[i].place);
    }
    for (int i = 0; i < PL_COUNT(bad); i++) {
        pl_layout l = L(bad[i].text);
        assert_ok(pl_tuple_parse(bad[i].at, &at));
        place = -1;
        assert_fails(pl_layout_eval_tuple(&l, &at, &place), PL_E_INPUT, bad[i].why);
        ck_assert_int_eq(place, -1);
    }
    pl_layout l = L("(4,(2,3)):(2,(1,8))");
    assert_fails(pl_layout_eval(&l, 24, &place), PL_E_INPUT, "0..23");
    assert_fails(pl_layout_eval(&l, -1, &place), PL_E_INPUT, "index -1");
    for (int64_t i = 0; i < 24; i++) {
        assert_ok(pl_layout_eval(&l, i, &place));
        ck_assert_int_eq(place, i % 4 * 2 + i / 4 % 2 + i / 8 * 8);
    }
}
END_TEST

START_TEST(coalesce)
{
    static const char *const cases[][3] = {
        { "(2,(1,6)):(1,(6,2))", "12:1", "(2,6):(1,2)" }, { "1:5", "1:0", "1:0" }, { "(1,1):(3,4)", "1:0", "(1,1):(0,0)" },
        { "((2,2),(2,2)):((0,0),(8,16))", "(4,4):(0,8)", "(4,4):(0,8)" }, { "(4,1,2):(1,9,4)", "8:1", "(4,1,2):(1,0,4)" },
        { "((2,3),4):((3,1),6)", "(2,3,4):(3,1,6)", "((2,3),4):((3,1),6)" },
        { "(2,2):(4611686018427387904,1)", "(2,2):(4611686018427387904,1)", "(2,2):(4611686018427387904,1)" },
    };
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_layout l = L(cases[i][0]), out;
        pl_layout_coalesce(&l, &out);
        prints(&out, cases[i][1]);
        assert_ok(pl_layout_coalesce_modes(&l, &out));
        prints(&out, cases[i][2]);
    }
}
END_TEST

START_TEST(composition)
{
    static const char *const cases[][3] = {
        { "(6,2):(8,2)", "(4,3):(3,1)", "((2,2),3):((24,2),8)" }, { "20:2", "(5,4):(4,1)", "(5,4):(8,2)" },
        { "(10,2):(16,4)", "(5,4):(1,5)", "(5,(2,2)):(16,(80,4))" }, { "(4,2):(1,0)", "(2,4):(1,2)", "(2,(2,2)):(1,(2,0))" },
        { "8:3", "(2,5):(4,0)", "(2,5):(12,0)" }, { "8:3", "1:77", "1:0" },
    };
    static const char *const bad[][3] = {
        { "(4,4):(1,10)", "(2,2):(2,2)", "carry into each other within the mode 4:1" },
        { "4:1", "(2,2):(2,3)", "reaches index 5, the first has 0..3" },
        { "(6,2):(8,2)", "2:4", "stride and shape 4 and 6: neither divides" },
        { "(6,2):(8,2)", "4:2", "shapes 4 and 3: neither divides" },
        { "(4,4):(1,10)", "3:4611686018427387903", "reaches index" },
    };
    static const int64_t known[] = { 0, 24, 2, 26, 8, 32, 10, 34, 16, 40, 18, 42 };
    pl_layout out;
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_layout a = L(cases[i][0]), b = L(cases[i][1]);
        assert_ok(pl_layout_compose(&a, &b, &out));
        prints(&out, cases[i][2]);
        for (int64_t k = 0; k < pl_layout_size(&b); k++)
            ck_assert_int_eq(pl_layout_at(&out, k), pl_layout_at(&a, pl_layout_at(&b, k)));
        for (int k = 0; i == 0 && k < 12; k++) ck_assert_int_eq(pl_layout_at(&out, k), known[k]);
    }
    for (int i = 0; i < PL_COUNT(bad); i++) {
        pl_layout a = L(bad[i][0]), b = L(bad[i][1]);
        out = L("5:3");
        assert_fails(pl_layout_compose(&a, &b, &out), PL_E_INPUT, bad[i][2]);
        prints(&out, "5:3");
    }
    pl_layout a = L("(12,(4,8)):(59,(13,1))");
    pl_tiler tiler = T("<3:4, 8:2>");
    assert_ok(pl_layout_compose_tiler(&a, &tiler, &out));
    prints(&out, "(3,(2,4)):(236,(26,1))");
    tiler = T("<3:4>");
    assert_ok(pl_layout_compose_tiler(&a, &tiler, &a));
    prints(&a, "(3,(4,8)):(236,(13,1))");
    tiler = T("<3,4,5>");
    assert_fails(pl_layout_compose_tiler(&a, &tiler, &out), PL_E_INPUT, "3 layouts, the layout only 2 modes");
    /* a mode that becomes 32, and one more */
    int64_t shape[PL_LAYOUT_MODES], stride[PL_LAYOUT_MODES];
    for (int i = 0; i < PL_LAYOUT_MODES; i++) {
        shape[i] = 2;
        stride[i] = i % 2;
    }
    assert_ok(pl_layout_make(PL_LAYOUT_MODES, shape, stride, &a));
    pl_layout b = L("(4294967296,2):(1,0)");
    assert_fails(pl_layout_compose(&a, &b, &out), PL_E_INPUT, "more than 32 modes");
}
END_TEST

START_TEST(complement)
{
    static const struct { const char *a; int64_t m; const char *expected; } cases[] = {
        { "4:1", 24, "6:4" }, { "6:4", 24, "4:1" }, { "(4,6):(1,4)", 24, "1:0" }, { "4:2", 24, "(2,3):(1,8)" },
        { "(2,4):(1,6)", 24, "3:2" }, { "(2,2):(1,6)", 24, "(3,2):(2,12)" }, { "4:1", 10, "3:4" }, { "4:1", 1, "1:0" },
        { "(4,5):(1,0)", 8, "2:4" }, { "1:0", 7, "7:1" },
    };
    pl_layout out;
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_layout a = L(cases[i].a);
        assert_ok(pl_layout_complement(&a, cases[i].m, &out));
        prints(&out, cases[i].expected);
    }
    pl_layout a = L("(2,2):(2,3)");
    assert_fails(pl_layout_complement(&a, 24, &out), PL_E_INPUT, "stride 3 is no multiple of 4");
    a = L("(2,2):(1,1)");
    assert_fails(pl_layout_complement(&a, 24, &out), PL_E_INPUT, "stride 1 is no multiple of 2");
    assert_fails(pl_layout_complement(&a, 0, &out), PL_E_INPUT, "at least 1, not 0");
    a = L("2:4611686018427387904");
    assert_fails(pl_layout_complement(&a, 5, &out), PL_E_INPUT, "passes 2^63");
}
END_TEST

START_TEST(inverses)
{
    static const char *const cases[][3] = {
        { "(2,4,6):(4,1,8)", "(4,2,6):(2,1,8)", "(4,2,6):(2,1,8)" }, { "(8,4):(4,1)", "(4,8):(8,1)", "(4,8):(8,1)" },
        { "4:1", "4:1", "4:1" }, { "(2,3):(1,2)", "6:1", "6:1" }, { "4:2", "1:0", "(2,4):(4,1)" },
        { "((2,2,2),4,(4,8)):((128,8,16),256,(32,1))", "(8,4,4,2,4):(128,2,32,1,8)", "(8,4,4,2,4):(128,2,32,1,8)" },
        { "(4,3):(1,8)", "4:1", "(4,2,3):(1,12,4)" },
    };
    pl_layout out;
    for (int i = 0; i < PL_COUNT(cases); i++) {
        pl_layout a = L(cases[i][0]);
        assert_ok(pl_layout_right_inverse(&a, &out));
        prints(&out, cases[i][1]);
        for (int64_t k = 0; k < pl_layout_size(&out); k++) ck_assert_int_eq(pl_layout_at(&a, pl_layout_at(&out, k)), k);
        assert_ok(pl_layout_left_inverse(&a, &out));
        prints(&out, cases[i][2]);
        for (int64_t k = 0; k < pl_layout_size(&a); k++) ck_assert_int_eq(pl_layout_at(&out, pl_layout_at(&a, k)), k);
    }
    pl_layout a = L("(4,3):(1,0)");
    assert_ok(pl_layout_right_inverse(&a, &out));
    prints(&out, "4:1");
    assert_fails(pl_layout_left_inverse(&a, &out), PL_E_INPUT, "3:0 has one place");
    a = L("(3,2):(2,3)");
    assert_fails(pl_layout_left_inverse(&a, &out), PL_E_INPUT, "no multiple");
}
END_TEST

START_TEST(division)
{
    static const struct { const char *a, *b, *expected[4]; } cases[] = {
        { "(4,2,3):(2,1,8)", "4:2", { "((2,2),(2,3)):((4,1),(2,8))", "((2,2),(2,3)):((4,1),(2,8))", "((2,2),2,3):((4,1),2,8)",
          "(2,2,2,3):(4,1,2,8)" } },
        { "(9,(4,8)):(59,(13,1))", "<3:3,(2,4):(1,8)>", { "((3,3),((2,4),(2,2))):((177,59),((13,2),(26,1)))",
          "((3,(2,4)),(3,(2,2))):((177,(13,2)),(59,(26,1)))", "((3,(2,4)),3,(2,2)):((177,(13,2)),59,(26,1))",
          "(3,(2,4),3,(2,2)):(177,(13,2),59,(26,1))" } },
        { "(4,6,5):(1,4,24)", "<2>", { "((2,2),6,5):((1,2),4,24)", "((2),(2,6,5)):((1),(2,4,24))", "((2),2,6,5):((1),2,4,24)",
          "(2,2,6,5):(1,2,4,24)" } },
    };
    pl_layout out;
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int kind = 0; kind < 4; kind++) {
            pl_layout a = L(cases[i].a);
            pl_tiler b = T(cases[i].b);
            assert_ok(pl_layout_divide((pl_divide)kind, &a, &b, &out));
            prints(&out, cases[i].expected[kind]);
        }
    pl_layout a = L("10:1");
    pl_tiler b = T("4:1");
    assert_fails(pl_layout_divide(PL_DIVIDE_LOGICAL, &a, &b, &out), PL_E_INPUT,
                 "tiles of size 4, with what lies between their places, do not divide 10");
    b = T("<2,5>");
    assert_fails(pl_layout_divide(PL_DIVIDE_FLAT, &a, &b, &out), PL_E_INPUT, "2 layouts, the layout only 1 modes");
}
END_TEST

START_TEST(products)
{
    static const struct { const char *a, *b, *expected[3]; } cases[] = {
        { "(2,2):(4,1)", "6:1", { "((2,2),(2,3)):((4,1),(2,8))", "((2,(2,3)),(2,1)):((4,(2,8)),(1,0))",
                                  "(((2,3),2),(1,2)):(((2,8),4),(0,1))" } },
        { "(2,5):(5,1)", "(3,4):(1,3)", { "((2,5),(3,4)):((5,1),(10,30))", "((2,3),(5,4)):((5,10),(1,30))",
                                          "((3,2),(4,5)):((10,5),(30,1))" } },
    };
    pl_layout out;
    for (int i = 0; i < PL_COUNT(cases); i++)
        for (int kind = 0; kind < 3; kind++) {
            pl_layout a = L(cases[i].a), b = L(cases[i].b);
            assert_ok(pl_layout_product((pl_product)kind, &a, &b, &out));
            prints(&out, cases[i].expected[kind]);
        }
    pl_layout a = L("2:3"), b = L("4:1");
    assert_fails(pl_layout_product(PL_PRODUCT_LOGICAL, &a, &b, &out), PL_E_INPUT, "neither divides");
    a = L("4611686018427387904:1");
    assert_fails(pl_layout_product(PL_PRODUCT_LOGICAL, &a, &b, &out), PL_E_INPUT, "pass 2^63");
}
END_TEST

START_TEST(swizzles)
{
    static const int from[] = { 0, 16, 128, 144, 256, 1024, 1040, 1152 }, to[] = { 0, 16, 144, 128, 288, 1024, 1040, 1168 };
    static const int upper[] = { 0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 11, 10, 13, 12, 15, 14, 18, 19, 16, 17, 22, 23, 20, 21, 27, 26, 25,
                                 24, 31, 30, 29, 28 };
    for (int i = 0; i < 8; i++) ck_assert_int_eq(pl_swizzle_at((pl_swizzle){ 3, 4, 3 }, from[i]), to[i]);
    for (int i = 0; i < 32; i++) ck_assert_int_eq(pl_swizzle_at((pl_swizzle){ 2, 0, 3 }, i), upper[i]);
    for (int shift = -3; shift <= 3; shift++)
        for (int64_t x = 0; x < 256; x++) {
            pl_swizzle s = { shift < 0 ? -shift : shift, 1, shift };
            ck_assert_int_eq(pl_swizzle_at(s, pl_swizzle_at(s, x)), x);
        }
    char text[PL_LAYOUT_TEXT];
    pl_composed c = C("S<2,0,3> o 0 o (8,4):(1,8)");
    ck_assert_str_eq(pl_composed_print(&c, text), "S<2,0,3> o 0 o (8,4):(1,8)");
    for (int i = 0; i < 32; i++) ck_assert_int_eq(pl_composed_at(&c, i), upper[i]);
    c = C("S<2,0,-3>o 5 o 8");
    ck_assert_str_eq(pl_composed_print(&c, text), "S<2,0,-3> o 5 o 8:1");
    c = C("(4,2)");
    ck_assert_str_eq(pl_composed_print(&c, text), "(4,2):(1,4)");
    static const char *const bad[][2] = {
        { "S<3,0,2> o 0 o 8", "swizzle <3,0,2>" }, { "S<3,-1,3> o 0 o 8", "swizzle" }, { "S<30,10,30> o 0 o 8", "swizzle" },
        { "S<1,2> o 0 o 8", "expected ','" },
        { "S<1,2,63> o 0 o 8", "passes 62" }, { "S<1,2,3> o 8", "expected 'o'" },
        { "S<1,2,3> o 9223372036854775807 o 8", "places pass" }, { "S 8", "expected '<'" },
    };
    for (int i = 0; i < PL_COUNT(bad); i++) assert_fails(pl_composed_parse(bad[i][0], &c), PL_E_INPUT, bad[i][1]);
}
END_TEST

/* Against a count of all places. */
START_TEST(one_to_one)
{
    int seen[2][2] = { { 0 } };
    for (uint64_t trial = 0; trial < 20000; trial++) {
        int64_t shape[4], stride[4];
        int modes = 1 + (int)(pl_rng_bits(1, trial, 0) % 4);
        static const int64_t strides[] = { 0, 1, 1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 24 };
        for (int i = 0; i < modes; i++) {
            shape[i] = 1 + (int64_t)(pl_rng_bits(2, trial, (uint64_t)i) % 4);
            stride[i] = strides[pl_rng_bits(3, trial, (uint64_t)i) % PL_COUNT(strides)];
        }
        pl_composed c = { .offset = trial % 5 == 0 ? (int64_t)(trial % 7) : 0 };
        if (trial % 3 == 0) c.swizzle = trial % 2 ? (pl_swizzle){ 1, (int)(trial % 3), 2 } : (pl_swizzle){ 2, 0, -2 };
        assert_ok(pl_layout_make(modes, shape, stride, &c.layout));
        int64_t size = pl_layout_size(&c.layout);
        int count[1024] = { 0 };
        bool once = true, all = true, injective, bijective;
        for (int64_t i = 0; i < size; i++) once = ++count[pl_composed_at(&c, i)] == 1 && once;
        for (int64_t i = 0; i < size; i++) all = all && count[i] == 1;
        assert_ok(pl_composed_injective(&c, &injective));
        assert_ok(pl_composed_bijective(&c, &bijective));
        ck_assert_int_eq(injective, once);
        ck_assert_int_eq(bijective, all);
        seen[injective][bijective]++;
    }
    ck_assert(seen[0][0] > 1000 && seen[1][0] > 1000 && seen[1][1] > 200);
    pl_composed c = C("(3,2):(200000000,300000000)");
    bool once;
    assert_fails(pl_composed_injective(&c, &once), PL_E_INPUT, "too many to look at");
    c = C("(2147483648,1048576):(1048576,1)");
    assert_ok(pl_composed_bijective(&c, &once));
    ck_assert(once);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { notation, named_numbers, facts, values, coalesce, composition, complement, inverses, division,
                                   products,
                                   swizzles, one_to_one };
    return run_suite("layout", tests, PL_COUNT(tests));
}
