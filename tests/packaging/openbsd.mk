# What packaging/openbsd wants of OpenBSD's bsd.port.mk, as far as its recipes can be run without the rest. On the command line:
# WRKSRC, WRKINST, TRUEPREFIX, LOCALBASE, RCDIR, MAKE_CMD.
.for word in COMMENT DISTNAME CATEGORIES HOMEPAGE MAINTAINER PERMIT_PACKAGE SITES WANTLIB COMPILER
.  if empty(${word})
.    error ${word} is missing
.  endif
.endfor

do-build:
	cd ${WRKSRC} && CC=target-cc CXX=target-c++ CXXFLAGS=-Dfrom_openbsd ${MAKE_CMD} ${MAKE_FLAGS}
do-install:
	cd ${WRKSRC} && CC=target-cc CXX=target-c++ CXXFLAGS=-Dfrom_openbsd STRIP=true ${MAKE_CMD} ${FAKE_FLAGS} DESTDIR=${WRKINST} install
tell-version:
	@echo '${DISTNAME:S/sockmux-//}'
tell-comment:
	@echo '${COMMENT}'
