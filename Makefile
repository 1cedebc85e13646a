# sockmux: how it is built. For GNU make (4.0 or newer) and BSD make; there is no configure step.
#
#   make            builds ./sockmuxd, ./sockmuxctl       make demo      shows it at work
#   make check      runs all tests                        make help      lists the rest
#
# Your CC CXX CPPFLAGS CXXFLAGS LDFLAGS (and so on) come first, ours are added behind them. A source file is a line in
# one of the lists below; tools/rules.sh turns the lists into rules with header dependencies, in $(BUILD)/rules.mk.
# Read next: README.md, "A tour of the sources".

VERSION = 0.3.0

# What may be chosen on the command line (STATIC and the like are plain, since BSD make has a STATIC of its own)
CROSS_COMPILE ?=
CC ?= cc
CXX ?= c++
STRIP ?= $(CROSS_COMPILE)strip
CXXFLAGS ?=
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
EXAMPLEDIR ?= $(PREFIX)/share/doc/sockmux/examples
# The start script of which system: auto is that of this machine. INITDIR is where scripts are, by default as that system has it
INIT ?= auto
INITDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
DESTDIR ?=
INSTALL ?= install
SYSTEM_POLLER != case `uname -s` in Linux) echo epoll ;; *BSD | DragonFly | Darwin) echo kqueue ;; *) echo poll ;; esac
POLLER ?= $(SYSTEM_POLLER)
# On Linux kqueue is an emulation, for tests: tests/kqueue
BUILD_EMULATED_epoll_kqueue = kqueue
BUILD_EMULATED = $(BUILD_EMULATED_$(SYSTEM_POLLER)_$(POLLER))
SYSTEM_SANDBOX != case `uname -s` in Linux) echo linux ;; *) echo other ;; esac
SANDBOX ?= $(SYSTEM_SANDBOX)
# For flash, where bytes count more than speed
TINY =
# What it shall not have: names of core/base/features.h, as in WITHOUT="ftp http". FLAVOUR=small: TCP and UDP ports over one TCP link
FLAVOUR =
WITHOUT = $(WITHOUT_$(FLAVOUR))
WITHOUT_small = bind control delegate dump exec explain failover fifo files ftp help hints http lossy names notify probe program reload sandbox \
	sendproxy socks stdio syslog telnet tty upgrade users v03
# sodium: with what transport/secure holds, over libsodium 1.0.14 or newer; a static one by SODIUM_LIBS=path/libsodium.a
SECURE ?= no
SODIUM_LIBS ?= -lsodium
SODIUM_CFLAGS ?=
SANITIZE =
STATIC =
WERROR =
SEEDS ?= 2000
V =

# Each kind of build has a folder of its own
BUILD_FOLDER_kqueue = /kqueue
BUILD_FOLDER = $(BUILD_FOLDER_$(BUILD_EMULATED))
BUILD_1__no = build/sanitize$(BUILD_FOLDER)
BUILD__1_no = build/static$(BUILD_FOLDER)
BUILD___no = build$(BUILD_FOLDER)
BUILD_1__sodium = build/sanitize-sodium$(BUILD_FOLDER)
BUILD__1_sodium = build/static-sodium$(BUILD_FOLDER)
BUILD___sodium = build/sodium$(BUILD_FOLDER)
BUILD ?= $(BUILD_$(SANITIZE)_$(STATIC)_$(SECURE))
SECURE_BUILD_no = $(BUILD_$(SANITIZE)_$(STATIC)_sodium)
SECURE_BUILD_sodium = $(BUILD)
SECURE_BUILD = $(SECURE_BUILD_$(SECURE))

BASE_SRCS = \
	core/base/address.cc \
	core/base/blocks.cc \
	core/base/check.cc \
	core/base/letters.cc \
	core/base/peer_key.cc \
	core/base/result.cc \
	core/base/text.cc \
	core/base/timer.cc

MUX_SRCS = \
	core/mux/channel.cc \
	core/mux/gaps.cc \
	core/mux/line.cc \
	core/mux/mux.cc \
	core/mux/mux_bind.cc \
	core/mux/mux_channels.cc \
	core/mux/mux_datagram.cc \
	core/mux/mux_line.cc \
	core/mux/mux_search.cc \
	core/mux/mux_session.cc \
	core/mux/mux_tx.cc \
	core/mux/mux_v03.cc \
	core/mux/mux_v1.cc \
	core/mux/packet.cc \
	core/mux/scheduler.cc \
	core/mux/tap.cc \
	core/mux/window.cc

# rt.cc belongs to the programs that are installed alone: what the C++ library would bring, without the library
RT_SRCS = core/io/rt.cc

IO_SRCS = \
	core/io/child.cc \
	core/io/clock.cc \
	core/io/connect.cc \
	core/io/fd.cc \
	core/io/handed.cc \
	core/io/helper.cc \
	core/io/helper_process.cc \
	core/io/line_lock.cc \
	core/io/log.cc \
	core/io/names.cc \
	core/io/notify.cc \
	core/io/poll_$(POLLER).cc \
	core/io/process.cc \
	core/io/reactor.cc \
	core/io/resident.cc \
	core/io/resolver.cc \
	core/io/sandbox_$(SANDBOX).cc \
	core/io/serial.cc \
	core/io/signals.cc \
	core/io/socket.cc \
	core/io/udp.cc \
	core/io/udp_batch.cc

EMULATION_SRCS_kqueue = tests/kqueue/kqueue_over_poll.cc
EMULATION_CFLAGS_kqueue = -Itests/kqueue/include

CONTROL_SRCS = \
	core/control/control.cc \
	core/control/unix_socket.cc

SESSION_SRCS = \
	core/session/session.cc \
	core/session/sessions.cc \
	core/session/trial.cc \
	core/session/way_in.cc \
	core/session/ways.cc

TRANSPORT_SRCS = \
	transport/fd_link.cc \
	transport/fifo.cc \
	transport/program.cc \
	transport/stdio.cc \
	transport/tcp.cc \
	transport/tcp_link.cc \
	transport/tty.cc

# With SECURE=sodium only
SECURE_SRCS_sodium = \
	transport/secure/buckets.cc \
	transport/secure/crypto_sodium.cc \
	transport/secure/fault.cc \
	transport/secure/handshake.cc \
	transport/secure/key_file.cc \
	transport/secure/keys.cc \
	transport/secure/line_blocks.cc \
	transport/secure/line_cipher.cc \
	transport/secure/message.cc \
	transport/secure/noise.cc \
	transport/secure/records.cc \
	transport/secure_dialer.cc \
	transport/secure_door.cc \
	transport/secure_line.cc \
	transport/secure_link.cc \
	transport/shake.cc

RELAY_SRCS = \
	relay/bind/far_port.cc \
	relay/bind/peer_port.cc \
	relay/data_port.cc \
	relay/dialogue.cc \
	relay/exec.cc \
	relay/exit.cc \
	relay/ftp.cc \
	relay/ftp_data.cc \
	relay/http.cc \
	relay/http_body.cc \
	relay/listener.cc \
	relay/proxy.cc \
	relay/registry.cc \
	relay/socks.cc \
	relay/socks_udp.cc \
	relay/stream.cc \
	relay/streams.cc \
	relay/telnet.cc \
	relay/text/ftp_text.cc \
	relay/text/http_head.cc \
	relay/text/proxy_header.cc \
	relay/udp_exit.cc \
	relay/udp_listener.cc

CONFIG_SRCS = \
	config/choose.cc \
	config/explain.cc \
	config/file.cc \
	config/finish.cc \
	config/hostlist_match.cc \
	config/hostlist_parse.cc \
	config/include.cc \
	config/link.cc \
	config/lists.cc \
	config/parse.cc \
	config/peers/changes.cc \
	config/peers/key_text.cc \
	config/peers/links.cc \
	config/peers/parse.cc \
	config/peers/rights.cc \
	config/peers/table.cc \
	config/ports.cc \
	config/protolist.cc \
	config/reload/compare.cc \
	config/reload/places.cc \
	config/reload/reader.cc \
	config/report.cc \
	config/scan.cc \
	config/serial.cc \
	config/server.cc \
	config/settings.cc \
	config/tables.cc \
	config/values.cc \
	config/words.cc

MAIN_SRCS = \
	daemon.cc \
	daemon_binds.cc \
	daemon_channels.cc \
	daemon_control.cc \
	daemon_dump.cc \
	daemon_links.cc \
	daemon_peers.cc \
	daemon_ports.cc \
	daemon_probe.cc \
	daemon_process.cc \
	daemon_reload.cc \
	daemon_reload_tell.cc \
	daemon_service.cc \
	daemon_status.cc \
	daemon_udp.cc \
	daemon_upgrade.cc \
	$(SECURE_MAIN_$(SECURE)) \
	sockmuxd.cc
SECURE_MAIN_no = daemon_clear.cc
SECURE_MAIN_sodium = daemon_secure.cc

CTL_SRCS = \
	tools/ctl/ask.cc \
	tools/ctl/change.cc \
	tools/ctl/doctor.cc \
	tools/ctl/doctor_daemon.cc \
	tools/ctl/doctor_host.cc \
	tools/ctl/doctor_link.cc \
	tools/ctl/doctor_net.cc \
	tools/ctl/doctor_ports.cc \
	tools/ctl/dump.cc \
	tools/ctl/dump_read.cc \
	tools/ctl/dump_text.cc \
	tools/ctl/dump_watch.cc \
	tools/ctl/dump_write.cc \
	tools/ctl/json.cc \
	tools/ctl/metrics.cc \
	tools/ctl/reload.cc \
	tools/ctl/rows.cc \
	tools/ctl/sample.cc \
	tools/ctl/status.cc \
	tools/ctl/tables.cc \
	tools/ctl/terminal.cc \
	tools/ctl/top.cc \
	tools/ctl/upgrade.cc \
	tools/ctl/sockmuxctl.cc
CTL_SRCS_no = tools/ctl/doctor_clear.cc tools/ctl/keys_none.cc
CTL_SRCS_sodium = tools/ctl/doctor_secure.cc tools/ctl/keys.cc

TEST_SRCS = \
	tests/main.cc \
	tests/sim/node.cc \
	tests/sim/node_sockets.cc \
	tests/sim/node_udp.cc \
	tests/sim/peer03.cc \
	tests/sim/sim.cc \
	tests/sim/sim_cut.cc \
	tests/sim/sim_far.cc \
	tests/sim/sim_idle.cc \
	tests/sim/sim_links.cc \
	tests/sim/sim_many.cc \
	tests/sim/sim_peer03.cc \
	tests/sim/sim_world.cc \
	tests/sim/world.cc \
	tests/sim/world_ends.cc \
	tests/sim/world_links.cc \
	tests/test_backoff.cc \
	tests/test_base.cc \
	tests/test_base_queues.cc \
	tests/test_bind.cc \
	tests/test_captures.cc \
	tests/test_compare.cc \
	tests/test_connect.cc \
	tests/test_control.cc \
	tests/test_datagram.cc \
	tests/test_doctor.cc \
	tests/test_ftp.cc \
	tests/test_gaps.cc \
	tests/test_helper.cc \
	tests/test_hostlist.cc \
	tests/test_likeness.cc \
	tests/test_line.cc \
	tests/test_line_lock.cc \
	tests/test_log.cc \
	tests/test_mux.cc \
	tests/test_mux03.cc \
	tests/test_mux_line.cc \
	tests/test_mux_look.cc \
	tests/test_mux_sealed.cc \
	tests/test_mux_search.cc \
	tests/test_mux_session.cc \
	tests/test_mux_trial.cc \
	tests/test_notify.cc \
	tests/test_names.cc \
	tests/test_options.cc \
	tests/test_packet.cc \
	tests/test_packet_table.cc \
	tests/test_peer_rights.cc \
	tests/test_peers.cc \
	tests/test_peers_use.cc \
	tests/test_process.cc \
	tests/test_proxy_header.cc \
	tests/test_proxy_http.cc \
	tests/test_proxy_socks.cc \
	tests/test_proxy_telnet.cc \
	tests/test_reactor.cc \
	tests/test_resident.cc \
	tests/test_sandbox.cc \
	tests/test_scheduler.cc \
	tests/test_sockaddr.cc \
	tests/test_tap.cc \
	tests/test_tty.cc \
	tests/test_udp_batch.cc \
	tests/test_urgent.cc \
	tests/test_window.cc \
	tests/test_words.cc

EMULATION_TEST_SRCS_kqueue = \
	tests/kqueue/test_kqueue.cc \
	tests/kqueue/test_poll_kqueue.cc

SECURE_TEST_SRCS_sodium = \
	tests/secure/test_crypto.cc \
	tests/secure/test_door.cc \
	tests/secure/test_handshake.cc \
	tests/secure/test_handshake_lines.cc \
	tests/secure/test_keys.cc \
	tests/secure/test_line_blocks.cc \
	tests/secure/test_line_cipher.cc \
	tests/secure/test_line_sim.cc \
	tests/secure/test_message.cc \
	tests/secure/test_noise.cc \
	tests/secure/test_records.cc \
	tests/secure/test_renewal.cc \
	tests/secure/test_secure_link.cc \
	tests/secure/test_secure_line.cc \
	tests/secure/test_secure_sim.cc

SECURE_PEER_SRCS_sodium = tests/secure/peer.cc
SECURE_PROGRAMS_sodium = $(BUILD)/secure_peer

VECTOR_SRCS = tests/option_vectors.cc

SPLICE_SRCS = tools/bench/splicebench.cc

# What is tried with inputs that nobody has thought of, and runs what was found that way: tests/fuzz
FUZZ_SRCS = \
	tests/fuzz/config.cc \
	tests/fuzz/control.cc \
	tests/fuzz/ctl.cc \
	tests/fuzz/dump.cc \
	tests/fuzz/end.cc \
	tests/fuzz/ftp.cc \
	tests/fuzz/ftp_text.cc \
	tests/fuzz/hosts.cc \
	tests/fuzz/http.cc \
	tests/fuzz/http_head.cc \
	tests/fuzz/line.cc \
	tests/fuzz/mux_line.cc \
	tests/fuzz/mux_pair.cc \
	tests/fuzz/mux_peer.cc \
	tests/fuzz/options.cc \
	tests/fuzz/pack.cc \
	tests/fuzz/packet03.cc \
	tests/fuzz/packet1.cc \
	tests/fuzz/peers.cc \
	tests/fuzz/said.cc \
	tests/fuzz/socks.cc \
	tests/fuzz/socks_udp.cc \
	tests/fuzz/targets.cc \
	tests/fuzz/telnet.cc \
	tests/fuzz/texts.cc
FUZZ_SECURE_SRCS_sodium = \
	tests/fuzz/secure_handshake.cc \
	tests/fuzz/secure_line.cc \
	tests/fuzz/secure_message.cc \
	tests/fuzz/secure_records.cc \
	tests/fuzz/targets_secure.cc
FUZZ_SECURE_SRCS_no = tests/fuzz/targets_clear.cc
# sockmuxctl, but for its main()
FUZZ_CTL_SRCS = \
	tools/ctl/ask.cc \
	tools/ctl/change.cc \
	tools/ctl/dump.cc \
	tools/ctl/dump_read.cc \
	tools/ctl/dump_text.cc \
	tools/ctl/dump_watch.cc \
	tools/ctl/dump_write.cc \
	tools/ctl/json.cc \
	tools/ctl/metrics.cc \
	tools/ctl/reload.cc \
	tools/ctl/rows.cc \
	tools/ctl/sample.cc \
	tools/ctl/status.cc \
	tools/ctl/tables.cc
FUZZ_ENGINE_SRCS = tests/fuzz/engine.cc
FUZZ_FILES_SRCS = tests/fuzz/files.cc

E2E_SECURE_SRCS_sodium = \
	tests/e2e/clock.cc \
	tests/e2e/ctl_secure.cc \
	tests/e2e/doctor_secure.cc \
	tests/e2e/dump_secure.cc \
	tests/e2e/flood.cc \
	tests/e2e/hub.cc \
	tests/e2e/networks.cc \
	tests/e2e/peers_file.cc \
	tests/e2e/remote_ports.cc \
	tests/e2e/secure.cc \
	tests/e2e/secure_bad.cc \
	tests/e2e/secure_line.cc \
	tests/e2e/secure_reload.cc \
	tests/e2e/secure_site.cc \
	tests/e2e/stopped.cc

E2E_SRCS = \
	tests/e2e/bad_peers.cc \
	tests/e2e/control.cc \
	tests/e2e/ctl_odd.cc \
	tests/e2e/ctl_status.cc \
	tests/e2e/ctl_top.cc \
	tests/e2e/daemon.cc \
	tests/e2e/datagrams.cc \
	tests/e2e/dialect03.cc \
	tests/e2e/doctor.cc \
	tests/e2e/dump.cc \
	tests/e2e/examples.cc \
	tests/e2e/exec.cc \
	tests/e2e/failover.cc \
	tests/e2e/failures.cc \
	tests/e2e/far.cc \
	tests/e2e/fifo.cc \
	tests/e2e/ftp.cc \
	tests/e2e/ftp_hand.cc \
	tests/e2e/garbage.cc \
	tests/e2e/harness.cc \
	tests/e2e/hostile.cc \
	tests/e2e/hostile_clients.cc \
	tests/e2e/hostile_local.cc \
	tests/e2e/hostile_peers.cc \
	tests/e2e/hostile_proxies.cc \
	tests/e2e/hostile_udp.cc \
	tests/e2e/idle.cc \
	tests/e2e/keys.cc \
	tests/e2e/line.cc \
	tests/e2e/main.cc \
	tests/e2e/names.cc \
	tests/e2e/odd_start.cc \
	tests/e2e/peer.cc \
	tests/e2e/many.cc \
	tests/e2e/pipes.cc \
	tests/e2e/program.cc \
	tests/e2e/privileges.cc \
	tests/e2e/programs.cc \
	tests/e2e/proxies.cc \
	tests/e2e/proxy_header.cc \
	tests/e2e/proxy_http.cc \
	tests/e2e/proxy_socks.cc \
	tests/e2e/proxy_socks_udp.cc \
	tests/e2e/proxy_telnet.cc \
	tests/e2e/reload.cc \
	tests/e2e/reload_odd.cc \
	tests/e2e/resume.cc \
	tests/e2e/secure_start.cc \
	tests/e2e/selection.cc \
	tests/e2e/service.cc \
	tests/e2e/sockets.cc \
	tests/e2e/stdio.cc \
	tests/e2e/storms.cc \
	tests/e2e/traffic.cc \
	tests/e2e/tty.cc \
	tests/e2e/udp.cc \
	tests/e2e/udp_joined.cc \
	tests/e2e/udp_limits.cc \
	tests/e2e/upgrade.cc \
	tests/e2e/urgent.cc

# With what of the tests above they use
FAILCALLS_SRCS = \
	tests/e2e/control.cc \
	tests/e2e/datagrams.cc \
	tests/e2e/harness.cc \
	tests/e2e/line.cc \
	tests/e2e/peer.cc \
	tests/e2e/pipes.cc \
	tests/e2e/secure_site.cc \
	tests/e2e/sockets.cc \
	tests/failcalls/errors.cc \
	tests/failcalls/links.cc \
	tests/failcalls/main.cc \
	tests/failcalls/plan.cc \
	tests/failcalls/rig.cc \
	tests/failcalls/services.cc \
	tests/failcalls/starts.cc

# The whole daemon in a simulated world: tests/simos/scenario.h
SIMD_SRCS = \
	tests/simos/calls_files.cc \
	tests/simos/calls_io.cc \
	tests/simos/calls_net.cc \
	tests/simos/calls_process.cc \
	tests/simos/datagrams.cc \
	tests/simos/every_call.cc \
	tests/simos/fault.cc \
	tests/simos/fiber.cc \
	tests/simos/files.cc \
	tests/simos/ftp.cc \
	tests/simos/helper.cc \
	tests/simos/main.cc \
	tests/simos/network.cc \
	tests/simos/outside.cc \
	tests/simos/pair.cc \
	tests/simos/process.cc \
	tests/simos/pump.cc \
	tests/simos/scenario.cc \
	tests/simos/setup.cc \
	tests/simos/socks_udp.cc \
	tests/simos/stream.cc \
	tests/simos/talker.cc \
	tests/simos/troubles.cc \
	tests/simos/udp.cc \
	tests/simos/watcher.cc \
	tests/simos/world.cc

# Flags that are ours. Time after 2038 and files over 2 GiB: glibc of 32-bit machines has both kinds; clock.cc and fd.cc look.
WIDE = -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
WARN = -Wall -Wextra -Wshadow -Wconversion -Wcast-qual
ERROR_1 = -Werror
SANITIZE_1 = -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
STATIC_1 = -static
STATIC_CFLAGS_1 = -fno-pie
# No tables for unwinding, which only exceptions and debuggers read; segments that share pages; and what tools/rules.sh has
# found that the compilers can do. docs/size.md has what each gives.
TINY_CFLAGS_1 = -fno-asynchronous-unwind-tables -fno-unwind-tables $(TINY_PROBED)
TINY_LDFLAGS_1 = -Wl,-z,noseparate-code $(TINY_PROBED) $(TINY_LINK_PROBED)
SMALL = -fno-threadsafe-statics -ffunction-sections -fdata-sections
SECURE_CFLAGS_sodium = $(SODIUM_CFLAGS)
KEYS_CFLAGS_nosmall = -DSMX_NO_KEYS
SECURE_LIBS_sodium = $(SODIUM_LIBS)
OUR_FLAGS = -std=c++17 -I. $(WIDE) -DSMX_VERSION='"$(VERSION)"' $(WARN) $(SMALL) $(SANITIZE_$(SANITIZE)) \
	$(STATIC_CFLAGS_$(STATIC)) $(TINY_CFLAGS_$(TINY)) -DSMX_WITHOUT='"$(WITHOUT)"' $(SECURE_CFLAGS_$(SECURE)) $(KEYS_CFLAGS_$(SECURE)$(FLAVOUR)) $(EMULATION_CFLAGS_$(BUILD_EMULATED))
# Leave out what nobody calls
DROP_UNUSED != case `uname -s` in Darwin) echo -Wl,-dead_strip ;; *) echo -Wl,--gc-sections ;; esac
LINK_FLAGS = $(DROP_UNUSED) $(SANITIZE_$(SANITIZE)) $(STATIC_$(STATIC)) $(TINY_LDFLAGS_$(TINY))

# The folder is not in what is built; the compiler is at work when it links, too (TINY=1)
DEBUG_PATHS = -fdebug-prefix-map="$$PWD"=.
COMPILE = $(CPPFLAGS) $(CXXFLAGS) $(OUR_FLAGS) $(ERROR_$(WERROR)) $(DEBUG_PATHS) -MMD -MP -c -o $@
# With sanitizers gcc takes up to three times as long for each level.
LEVEL_ = -O2
LEVEL_1 = -O1
TEST_LEVEL_ = -O1
TEST_LEVEL_1 = -O0
COMPILE_LIB = $(RULES_CXX) $(LEVEL_$(SANITIZE)) $(COMPILE) -fno-exceptions -fno-rtti
COMPILE_TEST = $(RULES_CXX) $(TEST_LEVEL_$(SANITIZE)) $(COMPILE) -fno-rtti
# The daemon needs libc alone, so the C compiler links it; tests use all of C++.
# All symbols are bound at the start: the first call of each would else bring the linker and its tables back into memory. (The
# linker of macOS has no -z.)
BIND_NOW != case `uname -s` in Darwin) ;; *) echo -Wl,-z,now ;; esac
LINK = $(RULES_CC) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS) $(LINK_FLAGS) $(BIND_NOW) $(DEBUG_PATHS) -o $@
LINK_TEST = $(RULES_CXX) $(CXXFLAGS) $(LDFLAGS) $(LINK_FLAGS) -o $@

# "CXX file" instead of long commands; all of them with V=1
QUIET_ = @
QUIET = $(QUIET_$(V))
SAY_ = echo
SAY_1 = :
SAY = $(SAY_$(V)) " "

LIB_SRCS = $(BASE_SRCS) $(MUX_SRCS) $(IO_SRCS) $(CONTROL_SRCS) $(SESSION_SRCS) $(TRANSPORT_SRCS) $(SECURE_SRCS_$(SECURE)) \
	$(RELAY_SRCS) $(CONFIG_SRCS) $(EMULATION_SRCS_$(BUILD_EMULATED))
DAEMON_SRCS = $(RT_SRCS) $(MAIN_SRCS)
# What an object depends on; WERROR changes none
FLAGS_NOW = $(CROSS_COMPILE) | $(CC) | $(CXX) | $(CPPFLAGS) | $(CXXFLAGS) | $(OUR_FLAGS) | $(LDFLAGS) | $(LINK_FLAGS) | $(SECURE_LIBS_$(SECURE))

all: daemon ctl

CHOSEN = SECURE=$(SECURE) FLAVOUR=$(FLAVOUR) POLLER=$(POLLER) SANDBOX=$(SANDBOX) SANITIZE=$(SANITIZE) STATIC=$(STATIC) TINY=$(TINY) WERROR=$(WERROR) V=$(V)

# Rewrites $(BUILD)/rules.mk, which it names, if the lists have changed, and $(BUILD)/flags if the flags have.
RULES != GNU='$(.FEATURES)' BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' CROSS_COMPILE='$(CROSS_COMPILE)' CHOSEN='$(CHOSEN)' WITHOUT='$(WITHOUT)' WITHOUT_FLAVOUR='$(WITHOUT_$(FLAVOUR))' TINY='$(TINY)' STATIC='$(STATIC)' sh tools/rules.sh '$(FLAGS_NOW)' \
	-- LIB LIB $(LIB_SRCS) -- LIB DAEMON $(DAEMON_SRCS) -- LIB CTL $(RT_SRCS) $(CTL_SRCS) $(CTL_SRCS_$(SECURE)) -- TEST UNIT $(TEST_SRCS) $(SECURE_TEST_SRCS_$(SECURE)) $(EMULATION_TEST_SRCS_$(BUILD_EMULATED)) -- TEST VECTOR $(VECTOR_SRCS) \
	-- TEST E2E $(E2E_SRCS) $(E2E_SECURE_SRCS_$(SECURE)) -- TEST PEER $(SECURE_PEER_SRCS_$(SECURE)) \
	-- TEST FAILCALLS $(FAILCALLS_SRCS) \
	-- LIB SPLICE $(SPLICE_SRCS) -- TEST FUZZ $(FUZZ_SRCS) $(FUZZ_SECURE_SRCS_$(SECURE)) -- LIB FUZZ_CTL $(FUZZ_CTL_SRCS) \
	-- TEST FUZZ_ENGINE $(FUZZ_ENGINE_SRCS) -- TEST FUZZ_FILES $(FUZZ_FILES_SRCS) -- TEST SIMD $(SIMD_SRCS)
include $(RULES)

# As many jobs as there are processors, unless you have said -j yourself
IN_PARALLEL = case "$$MAKEFLAGS" in *j*) j= ;; *) j=-j$(JOBS) ;; esac; $(MAKE) $(NO_CHATTER) $$j

daemon: $(BUILD)/sockmuxd
	@cmp -s $(BUILD)/sockmuxd sockmuxd || cp -f $(BUILD)/sockmuxd sockmuxd

ctl: $(BUILD)/sockmuxctl
	@cmp -s $(BUILD)/sockmuxctl sockmuxctl || cp -f $(BUILD)/sockmuxctl sockmuxctl

$(BUILD)/sockmuxd: $(DAEMON_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK) $(DAEMON_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/sockmuxctl: $(CTL_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK) $(CTL_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/unit: $(UNIT_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(UNIT_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/option_vectors: $(VECTOR_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(VECTOR_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/e2e: $(E2E_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(E2E_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/failcalls: $(FAILCALLS_OBJS) $(BUILD)/failcalls.so $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(FAILCALLS_OBJS) $(LDLIBS)

$(BUILD)/failcalls.so: tests/failcalls/failcalls.c tests/failcalls/failcalls.h $(BUILD)/rules.mk
	@$(SAY) CC $@
	$(QUIET)$(RULES_CC) -std=gnu11 -O1 -shared -fPIC $(WARN) $(ERROR_$(WERROR)) -I. -o $@ tests/failcalls/failcalls.c -ldl

$(BUILD)/secure_peer: $(PEER_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(PEER_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/splicebench: $(SPLICE_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(SPLICE_OBJS) $(LDLIBS)

# Three times the daemon of $(BUILD)/sockmuxd, with other names for the system calls. GNU binutils, Linux
SIMD_CALLS = $(BUILD)/tests/simos/calls_files.o $(BUILD)/tests/simos/calls_io.o $(BUILD)/tests/simos/calls_net.o $(BUILD)/tests/simos/calls_process.o
$(BUILD)/simd: $(SIMD_OBJS) $(DAEMON_OBJS) $(LIB_OBJS) tools/simos.sh $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)sh tools/simos.sh 3 $(BUILD)/simd $(SIMD_CALLS) -- $(DAEMON_OBJS) $(LIB_OBJS)
	$(QUIET)$(LINK_TEST) $(SIMD_OBJS) $(BUILD)/simd_1.o $(BUILD)/simd_2.o $(BUILD)/simd_3.o $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

# The inputs that are checked in, by any compiler; and the program that makes new ones, which needs clang (make fuzz)
$(BUILD)/fuzz_files: $(FUZZ_OBJS) $(FUZZ_CTL_OBJS) $(FUZZ_FILES_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) $(FUZZ_FILES_OBJS) $(FUZZ_OBJS) $(FUZZ_CTL_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

$(BUILD)/fuzz: $(FUZZ_OBJS) $(FUZZ_CTL_OBJS) $(FUZZ_ENGINE_OBJS) $(LIB_OBJS) $(BUILD)/rules.mk
	@$(SAY) LINK $@
	$(QUIET)$(LINK_TEST) -fsanitize=fuzzer $(FUZZ_ENGINE_OBJS) $(FUZZ_OBJS) $(FUZZ_CTL_OBJS) $(LIB_OBJS) $(SECURE_LIBS_$(SECURE)) $(LDLIBS)

check-programs: daemon ctl $(BUILD)/unit $(BUILD)/option_vectors $(BUILD)/e2e $(BUILD)/fuzz_files $(SECURE_PROGRAMS_$(SECURE))

# What the tests need beside make (names as in tools/need.sh), installed or named
TEST_NEEDS = c++ doctest cmp nm curl nginx ssh sshd socat \
	vsftpd lftp ip openssl telnet nc ncat dig dnsmasq $(SECURE_NEEDS_$(SECURE))
SECURE_NEEDS_sodium = sodium python3 dissononce
test-needs:
	@sh tools/need.sh $(TEST_NEEDS)

# All tests, or those of PARTS="unit e2e" (tests/run.sh). The last line of the output is "N passed, N failed", summed over all.
PARTS =
check: test-needs
	@$(IN_PARALLEL) check-programs
	@MAKE='$(MAKE)' SECURE='$(SECURE)' sh tests/run.sh $(BUILD) $(PARTS)

# Real processes only
e2e: test-needs
	@$(IN_PARALLEL) check-programs
	@MAKE='$(MAKE)' sh tests/run.sh $(BUILD) e2e

# kqueue over its emulation: the unit tests that wait for descriptors, and real processes
DEEPER_ = /kqueue
KQUEUE_BUILD = $(BUILD_$(SANITIZE)_$(STATIC)_$(SECURE))$(DEEPER_$(BUILD_EMULATED))
check-kqueue: test-needs
	@$(IN_PARALLEL) POLLER=kqueue BUILD='$(KQUEUE_BUILD)' check-programs
	@MAKE='$(MAKE)' sh tests/run.sh $(KQUEUE_BUILD) kqueue e2e

# What is behind SECURE=sodium: its tests alone, which `make SECURE=sodium check` runs with all others
check-secure:
	@sh tools/need.sh c++ doctest $(SECURE_NEEDS_sodium)
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/unit $(SECURE_BUILD)/secure_peer
	@sh tests/run.sh $(SECURE_BUILD) secure interop

# What static checks find: cppcheck, gcc -fanalyzer, clang-tidy. LINT="quick cppcheck" for some, CHANGED=HEAD for what differs from it
LINT =
CHANGED =
lint:
	@CHANGED='$(CHANGED)' sh tools/lint.sh $(LINT)

# What of core, transport, relay and config the tests reach, in lines and branches. The counters are in memory that outlives
# kill -9; they are not kept in registers during a loop, which for a daemon would be for ever.
COVERAGE_BUILD = build/coverage
COVERAGE_CXX = clang++
COVERAGE_PARTS = unit vectors interop e2e
COVERAGE_CFLAGS = -O1 -fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation -mllvm -do-counter-promotion=false
coverage:
	@sh tools/need.sh $(TEST_NEEDS) $(SECURE_NEEDS_sodium) clang++ llvm-cov
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(COVERAGE_BUILD)' CC=clang CXX='$(COVERAGE_CXX)' CXXFLAGS='$(COVERAGE_CFLAGS)' \
	  LDFLAGS=-fprofile-instr-generate coverage-programs
	@MAKE='$(MAKE)' sh tools/coverage.sh $(COVERAGE_BUILD) 90 80 $(COVERAGE_PARTS)

coverage-programs: $(BUILD)/sockmuxd $(BUILD)/sockmuxctl $(BUILD)/unit $(BUILD)/option_vectors $(BUILD)/e2e $(SECURE_PROGRAMS_$(SECURE))

# For all machines that Debian has compilers for, or MACHINES="mips arm64": builds, and tests under qemu-user
MACHINES =
cross:
	@MAKE='$(MAKE) $(NO_CHATTER)' sh tools/cross.sh $(MACHINES)

# Two builds in two folders are the same bytes.
check-reproducible:
	@MAKE='$(MAKE) $(NO_CHATTER)' sh tests/test_reproducible.sh

# A secure link between this machine and a small router under qemu-user; ARCH is mipsel or mips (big-endian)
ARCH = mipsel
FOREIGN_BUILD_mipsel = build/static-mipsel-sodium
FOREIGN_BUILD_mips = build/qemu-mips
# For another byte order qemu 7.2 turns half of a netlink answer round, and musl's getifaddrs(3) never ends on that. One
# that fails will do here, and close(2) of an address is one.
FOREIGN_LIBS_mips = -Wl,--defsym=getifaddrs=close
FOREIGN = MAKE='$(MAKE) $(NO_CHATTER)' STATIC_BUILD=$(FOREIGN_BUILD_$(ARCH)) LDLIBS='$(FOREIGN_LIBS_$(ARCH))'
check-foreign:
	@sh tools/need.sh c++ sodium
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl
	@$(FOREIGN) sh tools/static.sh $(ARCH) sodium sockmuxd sockmuxctl
	@SOCKMUXD=$(SECURE_BUILD)/sockmuxd sh tests/test_foreign.sh $(ARCH) $(FOREIGN_BUILD_$(ARCH))

# Each call of the programs fails once, at each place, with each error that it can have (tests/failcalls; Linux with glibc, under OWNER and
# CHROOT as root). FAILCALLS="--seconds=25 --seed=7": as many as fit in that time; "--scenario=tty -v": one scenario, each run named
FAILCALLS =
check-failcalls:
	@getconf GNU_LIBC_VERSION >/dev/null 2>&1 || { echo 'check-failcalls: only where libc is glibc' >&2; exit 69; }
	@sh tools/need.sh c++ doctest nm sodium
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl $(SECURE_BUILD)/failcalls
	@SOCKMUXD=$(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/failcalls $(SECURE_BUILD)/failcalls.so $(FAILCALLS)

# The same tests on other grounds (valgrind, sanitizers, 32 bits, big-endian), or PARTS="valgrind i386": tests/test_kernel.sh
check-kernel: test-needs
	@MAKE='$(MAKE) $(NO_CHATTER)' sh tests/test_kernel.sh $(PARTS)

# What Wireshark sees of packets, through tools/sockmux.lua
check-dump: daemon ctl
	@sh tools/need.sh tshark socat
	@SOCKMUXD=$(BUILD)/sockmuxd sh tests/test_dump.sh

# Real programs through tunnels, and the same without one; PROGRAMS="ssh redis" for some
PROGRAMS =
check-real:
	@sh tools/need.sh c++ sodium python3
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl
	@python3 -B tests/real/run.py $(SECURE_BUILD) $(PROGRAMS)

# The simulation alone, over SEEDS seeds
sim:
	@sh tools/need.sh c++ doctest
	@$(IN_PARALLEL) $(BUILD)/unit
	SEEDS=$(SEEDS) $(BUILD)/unit --source-file='*tests/sim/*'

# Each of the fuzz targets, or TARGETS="http ftp", for TIME seconds, as many at once as there are processors; FUZZ says what
# else: tests/fuzz/run.sh. All of it is built in a folder of its own, with secure links.
FUZZ_BUILD = build/fuzz
FUZZ_CXX = clang++
TIME = 60
TARGETS =
FUZZ = run
fuzz:
	@sh tools/need.sh clang++ sodium
	@$(IN_PARALLEL) CC=clang CXX='$(FUZZ_CXX)' SANITIZE=1 SECURE=sodium BUILD=$(FUZZ_BUILD) CXXFLAGS='-O2 $(CXXFLAGS) -fsanitize=fuzzer-no-link' $(FUZZ_BUILD)/fuzz
	@FUZZ_BUILD=$(FUZZ_BUILD) TIME='$(TIME)' JOBS='$(JOBS)' sh tests/fuzz/run.sh $(FUZZ) $(TARGETS)

# The whole daemon in a simulated world: SEEDS of them from FIRST on, JOBS at once. `$(BUILD)/simd -t SEED 1` traces one.
SIMD_NEEDS_sodium = sodium
FIRST ?= 1
SIM_JOBS ?= $(JOBS)
sim-daemon:
	@sh tools/need.sh c++ $(SIMD_NEEDS_$(SECURE))
	@$(IN_PARALLEL) $(BUILD)/simd
	$(BUILD)/simd $(FIRST) $(SEEDS) $(SIM_JOBS)

# Each system call of some of these worlds fails once, with each errno it can have; MORE=1 also in the middle
MORE ?= 0
sim-calls:
	@sh tools/need.sh c++ $(SIMD_NEEDS_$(SECURE))
	@$(IN_PARALLEL) $(BUILD)/simd
	$(BUILD)/simd -e $(MORE) $(FIRST) $(SEEDS) $(SIM_JOBS)

# The main job on real traffic
demo:
	@sh tools/need.sh c++ curl nginx
	@$(IN_PARALLEL) daemon
	@sh tools/demo.sh

# docs/pictures, anew
pictures:
	@sh tools/need.sh c++ sodium curl nginx python3 tmux
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl
	@sh tools/pictures.sh $(SECURE_BUILD)

# Against whatever of the peers is installed, and then the goals (those of size if `make size` has run); BENCH="--contenders direct,haproxy2,ours" takes fewer
bench:
	@sh tools/need.sh c++ python3
	@$(IN_PARALLEL) daemon
	python3 tools/bench/muxbench --goals --set bin=`pwd`/sockmuxd --set static=`pwd`/sockmuxd-static \
	  --set small=build/size-no-small/sockmuxd --set smallstatic=build/static-native-no-small/sockmuxd $(BENCH)

# What a channel costs beside 10, 1,000 and 50,000 idle ones
bench-many:
	@sh tools/need.sh c++ python3
	@$(IN_PARALLEL) daemon
	python3 tools/bench/muxmany sockmuxd $(BENCH)

# What splice(2) would do for a tunnel, beside copying. For another machine: make build/static/splicebench STATIC=1
# CXX=mipsel-linux-gnu-g++ makes a file to run there.
bench-splice: $(BUILD)/splicebench
	$(BUILD)/splicebench $(BENCH)

# A thousand peers of a hub, and what 100,000 bad handshakes cost it
bench-hub:
	@sh tools/need.sh c++ doctest $(SECURE_NEEDS_sodium)
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl $(SECURE_BUILD)/e2e
	FLOOD=100000 SOCKMUXD=$(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/e2e --test-case="hub:*,flood: bad*"

# Mixed traffic for hours while lines are cut, daemons killed, disks full and descriptors gone (tests/soak). HOURS=168 is a week, SECONDS=180
# a try; the full disk needs root. SOAK="--cut 5" and the like: tests/soak/soak.py --help
HOURS = 2
SECONDS =
soak:
	@sh tools/need.sh c++ sodium python3
	@$(IN_PARALLEL) SECURE=sodium BUILD='$(SECURE_BUILD)' $(SECURE_BUILD)/sockmuxd $(SECURE_BUILD)/sockmuxctl
	python3 tests/soak/soak.py --sockmuxd $(SECURE_BUILD)/sockmuxd --hours '$(HOURS)' --seconds '$(SECONDS)' $(SOAK)

# What goes where stands in tools/install.sh. install-built takes what is in $(BUILD) and compiles nothing.
TO_PLACES = BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SBINDIR='$(SBINDIR)' MANDIR='$(MANDIR)' SYSCONFDIR='$(SYSCONFDIR)' \
	EXAMPLEDIR='$(EXAMPLEDIR)' INIT='$(INIT)' INITDIR='$(INITDIR)' UNITDIR='$(UNITDIR)' SYSUSERSDIR='$(SYSUSERSDIR)' \
	BASHDIR='$(BASHDIR)' ZSHDIR='$(ZSHDIR)' INSTALL='$(INSTALL)' sh tools/install.sh
install: daemon ctl
	@$(TO_PLACES) install

install-built:
	@$(TO_PLACES) install

install-strip: install
	$(STRIP) $(DESTDIR)$(SBINDIR)/sockmuxd $(DESTDIR)$(SBINDIR)/sockmuxctl

uninstall:
	@$(TO_PLACES) uninstall

# The files that install puts, a line each
install-list:
	@$(TO_PLACES) list

# A package for this Debian, in build/deb
deb:
	@sh tools/need.sh c++ dh dpkg-buildpackage sodium
	@VERSION='$(VERSION)' sh tools/deb.sh build/deb

# Static programs with musl, ./sockmuxd-static and ./sockmuxctl-static
STATIC_FLAVOUR_small = -small
STATIC_NATIVE = build/static-native-$(SECURE)$(STATIC_FLAVOUR_$(FLAVOUR))
static:
	@MAKE='$(MAKE) $(NO_CHATTER)' STATIC_BUILD=$(STATIC_NATIVE) sh tools/static.sh native $(SECURE) sockmuxd sockmuxctl
	@for p in sockmuxd sockmuxctl; do \
	  cp -f $(STATIC_NATIVE)/$$p $$p-static && $(STRIP) $$p-static || exit; \
	done

# Bytes of the stripped program, built for size, and what SECURE=sodium adds to it
size:
	@MAKE='$(MAKE) $(NO_CHATTER)' sh tools/size.sh

# A source archive of the last commit; the same commit gives the same bytes.
dist:
	git archive --format=tar --prefix=sockmux-$(VERSION)/ HEAD | gzip -n -9 >sockmux-$(VERSION).tar.gz
	@echo sockmux-$(VERSION).tar.gz

clean:
	rm -rf build sockmuxd sockmuxctl sockmuxd-static sockmuxctl-static sockmux-$(VERSION).tar.gz

help:
	@echo 'make                 build ./sockmuxd and ./sockmuxctl'
	@echo 'make demo            show the main job on real traffic'
	@echo 'make check           all tests; ends with "N passed, N failed"; PARTS="unit e2e" for some'
	@echo 'make e2e             the tests with real processes only'
	@echo 'make check-secure    the tests of SECURE=sodium alone (make SECURE=sodium check: with all others)'
	@echo 'make check-kqueue    tests of POLLER=kqueue, over an emulation; E2E_FILTER=--source-file=*tty.cc'
	@echo 'make check-kernel    under valgrind, with more sanitizers, in 32 bits, big-endian; PARTS="valgrind i386" for some'
	@echo 'make check-dump      what Wireshark sees of packets, through tools/sockmux.lua'
	@echo 'make check-real      ssh, nginx, PostgreSQL and others through tunnels and without; PROGRAMS="ssh redis" for some'
	@echo 'make check-foreign   a secure link to a MIPS under qemu-user; ARCH=mipsel|mips'
	@echo 'make check-failcalls   each call of the programs fails once; FAILCALLS="--seconds=25 --seed=7" for some'
	@echo 'make check-reproducible   two builds in two folders are the same bytes'
	@echo 'make cross           builds for ten machines, and tests under qemu-user; MACHINES="mips arm64" for some'
	@echo 'make lint            static checks: cppcheck, gcc -fanalyzer, clang-tidy; LINT="quick cppcheck", CHANGED=HEAD for less'
	@echo 'make coverage        what the tests reach, in lines and branches: 90 % and 80 % are the goal'
	@echo 'make sim SEEDS=n     the simulation, over n seeds'
	@echo 'make sim-daemon SEEDS=n FIRST=n   the whole daemon in a simulated world, in virtual time'
	@echo 'make sim-calls SEEDS=n FIRST=n MORE=n   each system call fails once in such a world'
	@echo 'make fuzz            targets with inputs that are made up (clang); TARGETS="http ftp" TIME=60; FUZZ=long goes on for days'
	@echo 'make static          ./sockmuxd-static and ./sockmuxctl-static, with musl'
	@echo 'make size            size of the stripped program, and what SECURE=sodium adds to it'
	@echo 'make bench           compare with other relays, and what is reached; BENCH="--tests bulk1,ping --rounds 1"'
	@echo 'make bench-many      what a channel costs beside 10, 1,000 and 50,000 idle ones'
	@echo 'make bench-splice    splice(2) beside copying, without the daemon; BENCH="-v" checks every byte'
	@echo 'make bench-hub       a thousand peers, and a flood of bad handshakes'
	@echo 'make soak            hours of traffic, cuts and kills, each byte compared; HOURS=2, SECONDS=180 for a try'
	@echo 'make install         builds, and puts it to DESTDIR, SBINDIR=$(SBINDIR), MANDIR=$(MANDIR) and so on; also install-strip'
	@echo 'make install-built   the same with what is in BUILD, without a compiler; install-list shows the files'
	@echo 'make uninstall       takes away what install has put; what you wrote stays'
	@echo 'make deb             a package for Debian and Ubuntu, in build/deb'
	@echo 'make pictures        the pictures of README anew'
	@echo 'make dist, make clean'
	@echo 'What may be chosen, as make NAME=value:'
	@echo '  CC=gcc             the C compiler, which links'
	@echo '  CXX=g++            the C++ compiler'
	@echo '  CROSS_COMPILE=     what stands before the names of the compilers and of strip, as mips-linux-gnu-'
	@echo '  STRIP=strip        for install-strip and static'
	@echo '  CPPFLAGS= CFLAGS= CXXFLAGS= LDFLAGS= LDLIBS=   yours; ours are added behind them'
	@echo '  STATIC=1           static programs'
	@echo '  SECURE=sodium      secure links, with libsodium; SECURE=no: without'
	@echo '  SODIUM_LIBS=       how it is linked: -lsodium, or path/libsodium.a'
	@echo '  SODIUM_CFLAGS=     where its headers are: -Ipath'
	@echo '  POLLER=poll        how it waits: epoll is for Linux, kqueue for BSDs and macOS'
	@echo '  SANDBOX=other      how it gives up rights: linux, or other'
	@echo '  TINY=1             for size, not for speed'
	@echo '  FLAVOUR=small      without all but TCP and UDP ports over one TCP link'
	@echo '  WITHOUT=           what it shall not have, as in "ftp http": named in docs/size.md'
	@echo '  SANITIZE=1         with the address and undefined-behaviour sanitizers'
	@echo '  WERROR=1           a warning is an error'
	@echo '  V=1                shows whole commands'
	@echo '  BUILD=folder       where objects and programs go, in place of build, build/static and so on'
	@echo '  PREFIX=/usr SBINDIR= MANDIR= SYSCONFDIR=/etc DESTDIR= INSTALL=   for install'
	@echo '  INIT=auto          the start script: auto, systemd, openrc, sysv, openwrt, freebsd, openbsd or none'
	@echo '  INITDIR= UNITDIR= SYSUSERSDIR= EXAMPLEDIR= BASHDIR= ZSHDIR=   where packages want the rest'
	@echo '  SEEDS=2000         for sim, sim-daemon and sim-calls'

.PHONY: all daemon ctl lint coverage coverage-programs check check-programs test-needs check-secure check-kqueue check-foreign check-kernel check-dump check-real check-failcalls check-reproducible cross e2e sim sim-daemon sim-calls fuzz demo pictures bench bench-many bench-splice bench-hub soak install deb install-list install-built install-strip uninstall static size dist clean help
