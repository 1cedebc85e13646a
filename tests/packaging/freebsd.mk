# What packaging/freebsd wants of FreeBSD's bsd.port.mk, as far as its recipes can be run without the rest. On the command line:
# WRKSRC, STAGEDIR, PREFIX, MAKE_CMD.
.for word in PORTNAME DISTVERSION CATEGORIES MASTER_SITES MAINTAINER COMMENT WWW LICENSE LICENSE_FILE USES
.  if empty(${word})
.    error ${word} is missing
.  endif
.endfor

.for option in ${OPTIONS_DEFINE}
.  if ${OPTIONS_DEFAULT:M${option}} && !defined(WITHOUT_${option})
MAKE_ARGS += ${${option}_MAKE_ARGS}
.  else
MAKE_ARGS += ${${option}_MAKE_ARGS_OFF}
.  endif
.endfor

do-build:
	cd ${WRKSRC} && CC=target-cc CXX=target-c++ CXXFLAGS=-Dfrom_freebsd ${MAKE_CMD} ${MAKE_ARGS} ${ALL_TARGET}
do-install:
	cd ${WRKSRC} && CC=target-cc CXX=target-c++ CXXFLAGS=-Dfrom_freebsd STRIP=true ${MAKE_CMD} ${MAKE_ARGS} DESTDIR=${STAGEDIR} ${INSTALL_TARGET}
tell-version:
	@echo '${DISTVERSION}'
tell-comment:
	@echo '${COMMENT}'
