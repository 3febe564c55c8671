package skew

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Start starts cmd, with a clock that is right until it is set. Programs ask for the time in the vDSO, code that the
// kernel maps into each process. Start stops the program at its first instruction, and has that code ask the kernel
// and add a number, which is in its page.
func Start(cmd *exec.Cmd) (*Clock, error) {
	// Who traces is a thread, not a process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	c, err := patch(cmd.Process.Pid)
	if err == nil {
		err = syscall.PtraceDetach(cmd.Process.Pid)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return c, nil
}

// patch waits until a process that is being traced has stopped, and changes its vDSO.
func patch(pid int) (*Clock, error) {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return nil, err
	}
	if !status.Stopped() {
		return nil, fmt.Errorf("it didn't stop: %x", status)
	}
	from, to, err := vdso(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	image := make([]byte, to-from)
	if _, err = mem.ReadAt(image, from); err == nil {
		err = rewrite(image)
	}
	if err == nil {
		_, err = mem.WriteAt(image, from)
	}
	if err != nil {
		_ = mem.Close()
		return nil, err
	}
	return &Clock{mem: mem, at: to - 8}, nil
}

// vdso returns where a process has it.
func vdso(pid int) (from, to int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		first, rest, _ := strings.Cut(line, "-")
		last, _, _ := strings.Cut(rest, " ")
		if from, err = strconv.ParseInt(first, 16, 64); err == nil {
			to, err = strconv.ParseInt(last, 16, 64)
		}
		return from, to, err
	}
	return 0, 0, fmt.Errorf("it has no vDSO")
}

// What the functions do from now on. One instruction of each ends with its distance from the offset, 0 here.
var functions = map[string][][]byte{
	"__vdso_clock_gettime": {
		{0xb8, 228, 0, 0, 0, 0x0f, 0x05}, // mov eax, clock_gettime; syscall
		{0x85, 0xff, 0x75, 0x0a},         // test edi, edi; jnz to ret: CLOCK_REALTIME is 0
		{0x48, 0x8b, 0x0d, 0, 0, 0, 0},   // mov rcx, [offset]
		{0x48, 0x01, 0x0e, 0xc3},         // add [rsi], rcx; ret
	},
	"__vdso_gettimeofday": {
		{0xb8, 96, 0, 0, 0, 0x0f, 0x05}, // mov eax, gettimeofday; syscall
		{0x48, 0x85, 0xff, 0x74, 0x0a},  // test rdi, rdi; jz to ret
		{0x48, 0x8b, 0x0d, 0, 0, 0, 0},  // mov rcx, [offset]
		{0x48, 0x01, 0x0f, 0xc3},        // add [rdi], rcx; ret
	},
	"__vdso_time": {
		{0x57, 0x31, 0xff},               // push rdi; xor edi, edi
		{0xb8, 201, 0, 0, 0, 0x0f, 0x05}, // mov eax, time; syscall
		{0x5f},                           // pop rdi
		{0x48, 0x03, 0x05, 0, 0, 0, 0},   // add rax, [offset]
		{0x48, 0x85, 0xff, 0x74, 0x03},   // test rdi, rdi; jz to ret
		{0x48, 0x89, 0x07, 0xc3},         // mov [rdi], rax; ret
	},
}

// rewrite puts the functions at the end of a vDSO's last page, where there is nothing, and has the old ones
// jump there. The last 8 bytes are the offset.
func rewrite(image []byte) error {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return err
	}
	end := len(image) - 8
	for _, s := range symbols {
		if functions[s.Name] == nil {
			continue
		}
		code := slices.Concat(functions[s.Name]...)
		start := (end - len(code)) &^ 15
		room := image[start:end]
		if strings.Trim(string(room), "\x00") != "" {
			return fmt.Errorf("the vDSO has no room")
		}
		copy(room, code)
		at := start
		for _, instruction := range functions[s.Name] {
			at += len(instruction)
			if bytes.HasSuffix(instruction, []byte{0, 0, 0, 0}) {
				binary.LittleEndian.PutUint32(image[at-4:], uint32(len(image)-8-at))
			}
		}
		jump := append([]byte{0xe9}, binary.LittleEndian.AppendUint32(nil, uint32(int32(start-int(s.Value)-5)))...)
		copy(image[s.Value:], jump)
		end = start
	}
	if end == len(image)-8 {
		return fmt.Errorf("the vDSO doesn't tell the time")
	}
	return nil
}
