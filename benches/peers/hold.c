/* Hides instruction sets from a program, so that engines without a switch for it can be held to less.
 *
 *   LD_PRELOAD=hold.so HOLD=avx512|avxvnni|avx2 program
 *
 * avx512: AVX-512 with VNNI, but no AMX, bf16 and fp16. avxvnni: AVX2 and AVX-VNNI. avx2: AVX2 without VNNI.
 *
 * CPUID is made to fault (arch_prctl ARCH_CPUID), and the handler answers with the true registers less
 * the hidden bits. Needs Linux on an Intel processor that has cpuid_fault in /proc/cpuinfo.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };
#define BIT(n) (1u << (n))

/* Hidden bits of leaf 7: registers ebx, ecx, edx of subleaf 0 and eax, edx of subleaf 1. */
struct hidden { uint32_t ebx, ecx, edx, eax1, edx1; };

static const struct hidden AVX512 = {
    .edx = BIT(22) | BIT(24) | BIT(25) /* amx-bf16, amx-tile, amx-int8 */ | BIT(23) /* avx512-fp16 */,
    .eax1 = BIT(5) /* avx512-bf16 */ | BIT(21) /* amx-fp16 */,
    .edx1 = BIT(8) /* amx-complex */ | BIT(19) /* avx10 */,
};
static const struct hidden AVXVNNI = {
    .ebx = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31),
    .ecx = BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14),
    .edx = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25),
    .eax1 = BIT(5) | BIT(21),
    .edx1 = BIT(8) | BIT(19),
};
static struct hidden hidden;

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)r[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0xa2) { /* a true fault: let it happen again without us */
        signal(signal_number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)r[REG_RAX], subleaf = (uint32_t)r[REG_RCX], a, b, c, d;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && subleaf == 0) b &= ~hidden.ebx, c &= ~hidden.ecx, d &= ~hidden.edx;
    if (leaf == 7 && subleaf == 1) a &= ~hidden.eax1, d &= ~hidden.edx1;
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void hold(void) {
    const char *to = getenv("HOLD");
    if (!to || !*to) return;
    if (!strcmp(to, "avx512")) hidden = AVX512;
    else if (!strcmp(to, "avxvnni") || !strcmp(to, "avx2")) hidden = AVXVNNI;
    else {
        fprintf(stderr, "HOLD is %s: avx512, avxvnni or avx2\n", to);
        _exit(2);
    }
    if (!strcmp(to, "avx2")) hidden.eax1 |= BIT(4) /* avx-vnni */, hidden.edx1 |= BIT(4) /* avx-vnni-int8 */;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        perror("hold: this processor or kernel cannot make CPUID fault");
        _exit(2);
    }
}
