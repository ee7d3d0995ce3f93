/* test_encoders.c: blocks that ggml's reference encoders made of one row, with and without importance. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "quantizers/encoders.h"
#include "quantizers/iq_near.h"
#include "tests/unit/suite.h"

/* Of 256 values w = ((37 i + 11) mod 64 - 30) / 16, importance 5 i mod 7: the first 210 bytes in hex. */
static const struct { int dtype; bool weighted; const char *bytes; } known[] = {
    { PL_Q2_K, false,
      "deeeeeffdeeeeeffdeeeeeffdeeeeeff8866dd77dd88228877dd77228822dd77dd88228866dd77dd88228877dd7722888866dd77dd8822"
      "8877dd77228822dd77dd88228866dd77dd88228877dd772288cb2c092f" },
    { PL_Q2_K, true,
      "dcacefcd9ceebe9a9cecacffccbdffde88279d77de88228967dd771288238977dd44228822dd77dd8822d837dd7721888872dd77ed8822"
      "8876dd772188629877de48228867dd77de88228967dd7712882b2db92f" },
    { PL_Q3_K, false,
      "55aa55aa5555aa55aa55aaaa55aa55aa55aaff00ff00ff5500ff00ff00ffff00bbaa550000ffbbaa555500ffffaaaa550011ddaaaa7777"
      "00ddddaaaa7733ccddbbaa550000ffbbaa555500ffffaaaa550011ddaaaa777700ddddaaaa7733ccddaa00ddbbaa00ddbbff00ffffa9a4" },
    { PL_Q3_K, true,
      "55aa55aa5555aa55aa55aaaa55aa55aa55aaff00ff00ff5500ff00ff00ffff00faaa550000ffbfaa555500ffffaaaa550011ddaaaa7777"
      "00ddddaaaa7733ccddaba9550000ffbeaa555500ffffaaaa550011ddaaaa777700ddddaaaa7733ccdd8a11bcaaa911dea9ff00ffffc3a4" },
    { PL_Q4_K, false,
      "2e1c8c27fefffefffffefffefeeffeefa34cd56ef8912ab34dd67f08923bc45de78019a23cc56ef7812ab34cd67f0891a34cd56ef8912a"
      "b34dd67f08923bc45de78019a23cc56ef7812ab34cd67f0891a34cd56ef8912ab34dd67f08923bc45de78019a23cc56ef7812ab34cd67f"
      "0891a34cd56ef8912ab34dd67f08923bc45de78019a23cc56ef7812ab34cd67f0891" },
    { PL_Q4_K, true,
      "2f1c8827fdfffefffffefffefedefdefa34cd56ef8912ab34dd67f08923bc45de78019a23cc56ef7812ab34cd67f0891a34cd56ef8912a"
      "b34cd67f08923bc45de78019a23cc56ef7812ab34cd67f0891a34cd56ef8912ab34cd67f08923bc45de78019a23cd56ef7812ab34cd67f"
      "0891a34cd56ef8912ab34dd67f08923bc45de78019a23cc56ef7812ab34cd67f0891" },
    { PL_Q5_K, false,
      "1018bd27fffffffffffbfffbffbfffbfaa55aa55ffaa55aa55aa5555aa55aa55aa0055aa55aa55aaaa55aa55aa5555aa5678abcdf01245"
      "679abcef01345689abdef02345789acdef12346789bcde01235678abcdf01245679abcef01345689abdef02345789acdef12346789bcde"
      "01235678abcdf01245679abcef01345689abdef02345789acdef12346789bcde01235678abcdf01245679abcef01345689abdef0234578"
      "9acdef12346789bcde0123" },
    { PL_Q5_K, true,
      "0e187927fffffffffffdfffdffdfffdfaa55aa55aaaa55aa55aa5555aa55aa55aa0055aa55aa55aaaa55aa55aa5555aa5578aacdff1244"
      "6799bcee01335688abddf02245779accef11346689bbde00235578aacdff12446799bcee01335688abddf02245779accef11346689bbde"
      "00235578aacdff12446799bcee01335688abddf02245779accef11346689bbde00235578aacdff12446799bcee01335688abddf0224577"
      "9accef11346689bbde0023" },
    { PL_Q6_K, false,
      "33ee9944ffaa5500bb6611cc7722dd88dd1177bb2266cc0044aaee5599ff337733ddaa4400aa4411bb7711bb7711ee8833ee9944ffaa55"
      "00bb6611cc7722dd8833ee9944ffaa5500bb6611cc7722dd88dd1177bb2266cc0044aaee5599ff337733ddaa4400aa4411bb7711bb7711"
      "ee8833ee9944ffaa5500bb6611cc7722dd88778822881177dd77882288dd77dd22881144ee44bb11bb2244ee44bb11bbee447788228811"
      "77dd77882288dd77dd22881144ee44bb11bb2244ee44bb11bbee44857780858577808585778085857780852710" },
    { PL_Q6_K, true,
      "33ee9944ffaa5500bb6611cc7722dd88dd1177bb2266cc0044aaee5599ff337733ee994400aa5500bb6611cc7722dd8833ee9944ffaa55"
      "00bb6611cc7722dd8833ee9944ffaa5500bb6611cc7722dd88dd1177bb2266cc0044aaee5599ff337733eea94400aa4500bb7611bc7712"
      "ed8833ee9944ffaa5500bb6611cc7722dd88778822881177dd77882288dd77dd22881144ee44bb11bb2244ee44bb11bbee447788228811"
      "77dd77882288dd77dd22881144ee44bb11bb2244ee44bb11bbee44847783848478838484778484847780842110" },
    { PL_Q4_0, true,
      "bab39df36ad148bf158cf35ac037ae047be21eb4158be259c0379d047bd248bf268cf36addb39df36ad148bf158cf35ac037ae047be223"
      "b4158be259c0379d047bd248bf268cf36ae2b39df36ad148bf158cf35ac037ae047be218b4158be259c0379d047bd248bf268cf36ac6b3"
      "9df36ad148bf158cf35ac037ae047be21db4158be259c0379d047bd248bf268cf36a" },
    { PL_Q5_1, true,
      "fc2f5ebf4aad546ad5082a5d7fa2c4f7194c6e91b3e6083bf52f17bfb552a995d5f72a4c7f91c4e6193b6e80b3d5082a003062bf4aad54"
      "6ad5082a5d7fa2c4f7194c6e91b3e6083bf42f16bfb552a995d5f72a4c7f91c4e6193b6e80b3d5082a00305fbf4aad546ad5082a5d7fa2"
      "c4f7194c6e91b3e6083b023027bfb552a995d5f72a4c7f91c4e6193b6e80b3d5082afd2f5fbf4aad546ad5082a5d7fa2c4f7194c6e91b3"
      "e6083bf72f18bfb552a995d5f72a4c7f91c4e6193b6e80b3d5082a" },
    { PL_TQ1_0, false,
      "20e0a0e0a0206080e0a0e0602060a0e0a0206020e0a0e0a0206020e0a0e060209386ba86da932d9c86ba862d932dba86d792269b2040" },
    { PL_TQ2_0, false,
      "44669966994411556699661144119966994411446699669944114466996611444466996699441155669966114411996699441144669966"
      "9944114466996611442040" },
    { PL_MXFP4, false,
      "7d9ef63ce760cf750ef74be762bf751df77e630bd539c6519d641bd540bd520ce42a7d9ef63ce760cf750ef74be762bf751df77e630bd5"
      "39c6519d641bd540bd520ce42a7d9ef63ce760cf750ef74be762bf751df77e630bd539c6519d641bd540bd520ce42a7d9ef63ce760cf75"
      "0ef74be762bf751df77e630bd539c6519d641bd540bd520ce42a" },
    { PL_NVFP4, false,
      "2a2a2b2b6ea67c27e05fd46df94fd36eb57c17e0c46d06f937d25eb527e15ec46d96fa372a2a2b2b6ea67c27e05fd46df94fd36eb57c17"
      "e0c46d06f937d25eb527e15ec46d96fa372a2a2b2b6ea67c27e05fd46df94fd36eb57c17e0c46d06f937d25eb527e15ec46d96fa372a2a"
      "2b2b6ea67c27e05fd46df94fd36eb57c17e0c46d06f937d25eb527e15ec46d96fa37" },
    { PL_Q1_0, false,
      "023c5aadd46ab552ab955aadd46ab552ab95023c5aadd46ab552ab955aadd46ab552ab95" },
    { PL_IQ2_XXS, true,
      "8322a7da744225c9aad2cbb4f3cac29455dd9f9374e725f9aad2bc5eaacace5755cd9ff374ab25e1aad2575df3ca481645eda79374a725"
      "edaaf25743f3cacb365ddd" },
    { PL_IQ2_XS, true,
      "f8244e4a1825de56442b81859852b0ad9cd4734bcde5de56be2b5d9db95e48ab3ad4664b6385de56442baa90b5582b29bbd44e4a18b5de"
      "56bc2baa9655daafe9d3d48cc9988a99fb9caa" },
    { PL_IQ2_S, false,
      "95223a479f8db63067933a479f8db63067933a479f8db63067933a479f8db6306793a5522b954aad546aa5522b954aad546aa5522b954a"
      "ad546aa5522b954aad546ada76da76da76da76cffecffecffecffe" },
    { PL_IQ2_S, true,
      "002463e4bc6db63068ef3aa6ae8db330d3143ac5b78db530d3934b09016d0e304b79a5522b954aad546aa5522b954aad546aa5522b954a"
      "ad546aa5522b954aad546a9d36da76da769a75b9fcab9b9bbbcecb" },
};

static float w[256], h[256];

static void setup(void)
{
    for (int i = 0; i < 256; i++) {
        w[i] = (float)((i * 37 + 11) % 64 - 30) / 16.0f;
        h[i] = (float)(i * 5 % 7);
    }
    for (int k = 0; k < PL_COUNT(known); k++) ck_assert_int_eq(pl_iq_prepare(known[k].dtype), PL_OK);
}

START_TEST(known_blocks)
{
    pl_row_encoders plain;
    pl_row_encoders_init(&plain, 0);
    for (int k = 0; k < PL_COUNT(known); k++) {
        uint8_t out[512];
        char hex[512];
        for (int fast = 0; fast < 2; fast++) {
            const pl_dtype *dtype = &pl_dtypes[known[k].dtype];
            pl_row_encoder encoder = fast ? pl_reference_encoder(dtype) : plain.encode[known[k].dtype];
            memset(out, 0, sizeof out);
            encoder(w, known[k].weighted ? h : NULL, 1, 256, out);
            for (size_t i = 0; i < strlen(known[k].bytes) / 2; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
            ck_assert_str_eq(hex, known[k].bytes);
        }
    }
}
END_TEST

/* What a type cannot hold exactly is still exact where the values lie on its codes. */
START_TEST(on_the_grid)
{
    static const int types[] = { PL_Q4_K, PL_Q5_K, PL_Q6_K, PL_MXFP4, PL_NVFP4, PL_TQ1_0, PL_TQ2_0, PL_Q2_0 };
    for (int t = 0; t < PL_COUNT(types); t++) {
        const pl_dtype *dtype = &pl_dtypes[types[t]];
        uint8_t out[512];
        float x[256], y[256];
        for (int i = 0; i < 256; i++) x[i] = (float)(i % 3 - 1);
        pl_reference_encoder(dtype)(x, NULL, 1, 256, out);
        pl_decode(dtype, out, y, 256);
        for (int i = 0; i < 256; i++)
            ck_assert_msg(y[i] - x[i] < 0.04f && x[i] - y[i] < 0.04f, "%s: %g", dtype->name, (double)y[i]);
    }
}
END_TEST

/* ggml has no rule for these without importance; ours is that of equal importance. */
START_TEST(no_importance)
{
    static const int types[] = { PL_IQ2_XXS, PL_IQ2_XS };
    for (int i = 0; i < 256; i++) h[i] = 1.0f;
    for (int t = 0; t < PL_COUNT(types); t++) {
        const pl_dtype *dtype = &pl_dtypes[types[t]];
        uint8_t without[128], with[128];
        pl_reference_encoder(dtype)(w, NULL, 1, 256, without);
        pl_reference_encoder(dtype)(w, h, 1, 256, with);
        ck_assert_mem_eq(without, with, (size_t)dtype->bytes);
    }
}
END_TEST

START_TEST(no_encoder)
{
    ck_assert_ptr_null(pl_reference_encoder(&pl_dtypes[PL_F32]));
    ck_assert_ptr_null(pl_reference_encoder(&pl_dtypes[PL_F8_E4M3]));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        known_blocks, on_the_grid, no_importance, no_encoder,
    };
    return run_cases("encoders", setup, NULL, tests, PL_COUNT(tests));
}
