/* QEMU plugin: counts the guest's instructions and reports the count at every write to standard output; with PROFILE=FILE
 * it also writes there the count of every block of code, "address count" a line, since the write before.
 *
 * A worker of the benchmark answers each request with one such write, so differences of consecutive
 * reports are the instructions of one request. Declarations are those of plugin API version 1 (QEMU 4.2 to
 * 8), written out because Debian's package has no header.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { INLINE_ADD_U64 = 0, AARCH64_WRITE = 64, STANDARD_OUTPUT = 1 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
typedef void on_call(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                     uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_call *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { BLOCKS = 1 << 19 };

static uint64_t count;
static const char *profile;
static struct { uint64_t address, count; } blocks[BLOCKS];
static size_t known;

static void on_block(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    size_t instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &count, instructions);
    if (profile && known < BLOCKS) {
        blocks[known].address = qemu_plugin_tb_vaddr(block);
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &blocks[known++].count, instructions);
    }
}

static void write_profile(void) {
    FILE *file = fopen(profile, "w");
    for (size_t i = 0; i < known; i++) {
        if (file && blocks[i].count) fprintf(file, "%" PRIx64 " %" PRIu64 "\n", blocks[i].address, blocks[i].count);
        blocks[i].count = 0;
    }
    if (file) fclose(file);
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t file, uint64_t a, uint64_t b,
                           uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g) {
    (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g;
    if (number != AARCH64_WRITE || file != STANDARD_OUTPUT) return;
    fprintf(stderr, "instructions %" PRIu64 "\n", count);
    if (profile) write_profile();
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    profile = getenv("PROFILE");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
