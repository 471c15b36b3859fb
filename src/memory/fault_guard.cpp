#include "memory/fault_guard.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "memory/page_size.h"

namespace qvl {

// One guarded range. Readers are signal handlers, so there is no lock: a range is read between two equal,
// even versions or not at all. A slot that changes meanwhile cannot be the one whose bytes the reader's
// thread is using.
struct alignas(64) FaultGuard::Slot {
  std::atomic<bool> taken{false};
  std::atomic<bool> faulted{false};
  std::atomic<bool> writable{false};
  std::atomic<uint32_t> version{0};
  std::atomic<uintptr_t> begin{0}, end{0};

  void set(uintptr_t first, uintptr_t last, Access access) {
    ++version;
    begin = first;
    end = last;
    writable = access == Access::write;
    faulted = false;
    ++version;
  }

  // The end of the range, where it holds `address`; else 0.
  uintptr_t end_of_range_with(uintptr_t address) const {
    const uint32_t before = version;
    const uintptr_t first = begin, last = end;
    const bool stable = before % 2 == 0 && version == before;
    return stable && address >= first && address < last ? last : 0;
  }
};

// What a signal handler can reach is static by its nature.
struct FaultTable {
  static inline FaultGuard::Slot slots[FaultGuard::kMost];
  static inline struct sigaction previous {};

  static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

  static FaultGuard::Slot* claim() {
    for (FaultGuard::Slot& slot : slots) {
      bool taken = false;
      if (slot.taken.compare_exchange_strong(taken, true)) return &slot;
    }
    return nullptr;
  }

  // Zeros from the page of `address` to the end of the range: one fault then answers for all that follow,
  // however much of the file is gone, and a thousand lost pages are one mapping. What lies before stays
  // readable.
  static bool replace(FaultGuard::Slot& slot, uintptr_t address, uintptr_t end) {
    slot.faulted = true;  // before any thread can read a zero
    const uintptr_t page = address & ~(uintptr_t{page_size()} - 1);
    const int protection = slot.writable ? PROT_READ | PROT_WRITE : PROT_READ;
    // The bare call: wrappers of sanitizers are not made for signal handlers.
    return ::syscall(SYS_mmap, page, whole_pages(end - page), protection,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
                     0) == static_cast<long>(page);
  }

  static bool recover(const siginfo_t& info) {
    // Other codes are no lost pages: an unaligned access, a signal sent by a process.
    if (info.si_code != BUS_ADRERR && info.si_code != BUS_MCEERR_AR) return false;
    const auto address = reinterpret_cast<uintptr_t>(info.si_addr);
    for (FaultGuard::Slot& slot : slots) {
      if (const uintptr_t end = slot.end_of_range_with(address)) return replace(slot, address, end);
    }
    return false;
  }

  static void pass_on(int signal, siginfo_t* info, void* context) {
    if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
    const bool sent = info->si_code <= 0;  // by a process, not by a fault
    if (previous.sa_handler == SIG_IGN && sent) return;
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
    // On return the access faults again, without a handler; a signal that was sent is sent again.
    struct sigaction none {};
    none.sa_handler = SIG_DFL;
    ::sigaction(signal, &none, nullptr);
    if (sent) ::raise(signal);
  }

  static void on_bus_error(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    if (!recover(*info)) pass_on(signal, info, context);
    errno = error;
  }

  static bool install() {
    page_size();  // known before a handler needs it
    // What was there is kept before the handler can run.
    if (::sigaction(SIGBUS, nullptr, &previous) != 0) return false;
    struct sigaction ours {};
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    ::sigemptyset(&ours.sa_mask);
    return ::sigaction(SIGBUS, &ours, nullptr) == 0;
  }
};

FaultGuard::FaultGuard(std::span<const std::byte> mapping, Access access) {
  static const bool installed = FaultTable::install();
  if (!installed || mapping.empty()) return;
  slot_ = FaultTable::claim();
  if (slot_ == nullptr) return;
  const auto begin = reinterpret_cast<uintptr_t>(mapping.data());
  slot_->set(begin, begin + whole_pages(mapping.size()), access);
}

FaultGuard::~FaultGuard() {
  if (slot_ == nullptr) return;
  slot_->set(0, 0, Access::read);
  slot_->taken = false;
}

FaultGuard::FaultGuard(FaultGuard&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}

FaultGuard& FaultGuard::operator=(FaultGuard&& other) noexcept {
  std::swap(slot_, other.slot_);  // what this one guarded ends with `other`
  return *this;
}

bool FaultGuard::faulted() const { return slot_ != nullptr && slot_->faulted; }

}  // namespace qvl
