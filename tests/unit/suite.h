/* suite.h: the main of a unit test program: its tests in turn, each in a process of its own. */
#ifndef TESTS_UNIT_SUITE_H
#define TESTS_UNIT_SUITE_H

#include <check.h>

/* before, after: around each test; NULL: none. Returns the exit code. */
static inline int run_cases(const char *name, SFun before, SFun after, const TTest *const *tests, int count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, before, after);
    tcase_set_timeout(tcase, 120);      /* hangs only: meson has the limit of the whole program */
    for (int i = 0; i < count; i++) tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
