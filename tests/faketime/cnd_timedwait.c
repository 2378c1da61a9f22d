/* What libfaketime leaves out: C11's wait until a time, with which librdkafka waits. Without this, it would wait by the
 * real clock until a time of the moved one: for days. POSIX's wait, which glibc's C11 types are made for, is covered. */
#include <errno.h>
#include <pthread.h>
#include <threads.h>
#include <time.h>

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    switch (pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until)) {
    case 0: return thrd_success;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}
