################################################################################
#
# sockmux
#
################################################################################

SOCKMUX_VERSION = 0.3.0
SOCKMUX_SITE = https://example.org/sockmux
SOCKMUX_LICENSE = ISC
SOCKMUX_LICENSE_FILES = LICENSE

SOCKMUX_MAKE_OPTS = \
	TINY=1 \
	POLLER=epoll \
	SANDBOX=linux \
	BUILD=build/buildroot

ifeq ($(BR2_PACKAGE_SOCKMUX_SODIUM),y)
SOCKMUX_DEPENDENCIES += libsodium
SOCKMUX_MAKE_OPTS += SECURE=sodium
else
SOCKMUX_MAKE_OPTS += SECURE=no
endif

ifeq ($(BR2_STATIC_LIBS),y)
SOCKMUX_MAKE_OPTS += STATIC=1
endif

SOCKMUX_INSTALL_OPTS = \
	$(SOCKMUX_MAKE_OPTS) \
	DESTDIR=$(TARGET_DIR) \
	PREFIX=/usr

define SOCKMUX_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(TARGET_CONFIGURE_OPTS) \
		$(SOCKMUX_MAKE_OPTS) -C $(@D) all
endef

define SOCKMUX_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) $(TARGET_CONFIGURE_OPTS) \
		$(SOCKMUX_INSTALL_OPTS) INIT=none -C $(@D) install-built
endef

# No daemon starts as long as there is no /etc/sockmux.conf.
define SOCKMUX_INSTALL_INIT_SYSTEMD
	$(TARGET_MAKE_ENV) $(MAKE) $(TARGET_CONFIGURE_OPTS) \
		$(SOCKMUX_INSTALL_OPTS) INIT=systemd -C $(@D) install-built
endef

define SOCKMUX_INSTALL_INIT_OPENRC
	$(TARGET_MAKE_ENV) $(MAKE) $(TARGET_CONFIGURE_OPTS) \
		$(SOCKMUX_INSTALL_OPTS) INIT=openrc -C $(@D) install-built
endef

# Busybox starts what is called S and a number.
define SOCKMUX_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/init/sysv/sockmux \
		$(TARGET_DIR)/etc/init.d/S60sockmux
endef

define SOCKMUX_USERS
	sockmux -1 sockmux -1 * - - - sockmuxd
endef

$(eval $(generic-package))
